// Content that is here, by its hash: what this node has pulled, and what it has lately given away.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <set>

#include "metadata/crypto.hpp"
#include "overlay/executor.hpp"

namespace p2p::overlay {

/// Keeps content for two uses: what is here need not travel again, and what was pulled can be served on to others who
/// were told its hash. It says nothing about this node's own model, which is described anew whenever somebody asks.
///
/// Bounds: `bytes` in all (larger content is not kept), `life` after the last use; the one unused for longest goes first.
/// Thread: the executor's.
class ContentStore {
 public:
  using Content = std::shared_ptr<const Bytes>;
  ContentStore(Executor& executor, std::size_t bytes, Duration life)
      : executor_(executor), bytes_(bytes), life_(life) {}

  /// `hash` is that of `content`; the caller has checked it.
  void keep(const metadata::Hash& hash, Content content);
  /// Null: not here.
  Content find(const metadata::Hash& hash);
  std::size_t bytes() const { return held_; }

  /// It is under way to here: whoever asks for it meanwhile is told to wait, not that it is unknown.
  void expect(const metadata::Hash& hash) { expected_.insert(hash); }
  void expect_no_more(const metadata::Hash& hash);
  bool expected(const metadata::Hash& hash) const { return expected_.contains(hash); }

 private:
  struct Entry {
    metadata::Hash hash;
    Content content;
    TimePoint used;
  };
  void drop_last();
  void sweep();

  Executor& executor_;
  const std::size_t bytes_;
  const Duration life_;
  std::list<Entry> entries_;  // the latest used first
  std::map<metadata::Hash, std::list<Entry>::iterator> by_hash_;
  std::multiset<metadata::Hash> expected_;
  std::size_t held_ = 0;
  Executor::TimerHandle sweep_;  // set while there are entries
};

}  // namespace p2p::overlay
