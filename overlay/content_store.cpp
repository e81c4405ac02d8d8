#include "overlay/content_store.hpp"

namespace p2p::overlay {

void ContentStore::keep(const metadata::Hash& hash, Content content) {
  if (find(hash) || content->size() > bytes_) return;
  held_ += content->size();
  entries_.push_front({hash, std::move(content), executor_.now()});
  by_hash_[hash] = entries_.begin();
  while (held_ > bytes_) drop_last();
  if (!sweep_) sweep_ = executor_.after(life_, [this] { sweep(); });
}

ContentStore::Content ContentStore::find(const metadata::Hash& hash) {
  const auto found = by_hash_.find(hash);
  if (found == by_hash_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  found->second->used = executor_.now();
  return found->second->content;
}

void ContentStore::expect_no_more(const metadata::Hash& hash) {
  if (const auto found = expected_.find(hash); found != expected_.end()) expected_.erase(found);
}

void ContentStore::drop_last() {
  held_ -= entries_.back().content->size();
  by_hash_.erase(entries_.back().hash);
  entries_.pop_back();
}

void ContentStore::sweep() {
  const auto now = executor_.now();
  while (!entries_.empty() && now - entries_.back().used >= life_) drop_last();
  sweep_.reset();
  if (!entries_.empty()) {
    sweep_ = executor_.after(life_ - (now - entries_.back().used), [this] { sweep(); });
  }
}

}  // namespace p2p::overlay
