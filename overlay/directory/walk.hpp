// From neighbour to neighbour towards what is wanted: whom to ask next, and whom to believe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "overlay/directory/messages.hpp"

namespace p2p::directory {

/// The first bytes of what a presence goes by, as a number: names it within one walk.
using Brief = std::uint64_t;
Brief brief(const PresencePrefix& id);
Brief brief(const Hint& hint);
Brief brief(const metadata::NodeId& presence);

/// A greedy search on the graph of "who is near whom", like that of HNSW (Malkov, Yashunin, 2016) on one layer, without
/// any input or output: the caller asks the nodes that next() names and tells what came.
///
/// A hint is hearsay. It costs one question to find out that it was false, and then whoever gave it is believed less: the
/// other hints that only such nodes gave fall behind; of one whose hints have not been tried yet one is tried at a time.
/// That a node says of itself what a hint said of it proves little, for liars vouch for each other; where its fingerprint is
/// on its way, that decides. A
/// node that turns out to be further than was said, is further; one
/// that says that it is much nearer than others had said is taken at the others' word, so that nobody becomes a
/// candidate by saying to each asker what he wants to hear.
///
/// What it walks over are presences: a node may be there several times. Once as many of one address have answered as a node
/// may show, no others of that address are asked.
///
/// Bounds: kMost presences; hints beyond that are dropped unless they are nearer than the furthest.
class Walk {
 public:
  struct Options {
    std::size_t settled = 8;    ///< the walk is over when so many of the best have all been asked
    std::size_t questions = 16; ///< and after so many questions
    std::size_t approaching = 2, around = 5;  ///< how many are asked at a time: width()
    bool from_afar = true;      ///< those that we know ourselves may be far from the target; else a bucket names some near it
  };
  enum class State : std::uint8_t { heard, asked, answered, failed };
  struct Known {
    Hint hint;                   ///< how far it is, as far as is known
    State state = State::heard;
    std::vector<Brief> sources;  ///< who said so, at most kSources; empty: we knew it ourselves
    double claimed = 0;          ///< as it says of itself, once it has answered
    bool unproven = false;       ///< what it says of itself is not yet held against its fingerprint
  };
  static constexpr Brief kOurselves = 0;
  static constexpr std::size_t kMostAtOne = 1 + metadata::kMostArchived;  ///< that answer from one address

  Walk(const metadata::Target& target, const Options& options) : target_(target), options_(options) {}

  /// A node has answered before anybody had named it. Counts as asked by nobody; `proof_comes` as below.
  void met(const Hint& hint, bool proof_comes);
  /// Somebody speaks of a node, as far from the target as the hint says. Nodes that are shunned never come up.
  void hear(const Hint& hint, Brief source);
  void shun(Brief node);
  void grant(std::size_t questions) { options_.questions += questions; }
  /// A bucket has named some who are near.
  void begin_near() { options_.from_afar = false; }
  /// How many may be asked at a time. Few while each answer still leads nearer, for a question that is sent before that
  /// answer is spent on somebody further away: with five throughout, sixteen questions are three steps, and of the ten
  /// nearest among 10,000 nodes a fifth is missed. More once the nearest that is known has answered, and the more have
  /// failed, since among the dead and liars it takes long to come nearer.
  std::size_t width() const;
  /// Whom to ask now; counts as asked. Nothing: enough have been asked, or nobody is left.
  std::optional<Hint> next();
  /// `node` said this of itself. `proof_comes`: shown() or failed() follows, and decides what whoever named it is worth.
  void answered(Brief node, const metadata::Sketch& sketch, metadata::ClassMask knows, bool proof_comes = false);
  /// This is the sketch of the fingerprint that `node` has shown. One that had said that it is nearer speaks to each asker as
  /// he likes to hear, and is not believed about others any more: false.
  bool shown(Brief node, const metadata::Sketch& sketch, metadata::ClassMask knows);
  /// It did not answer, or not with anything valid.
  void failed(Brief node);

  /// The best `count` that have not failed, best first.
  std::vector<const Known*> best(std::size_t count) const;
  /// The same by another measure of their outlines (lower is better); hearsay that is in doubt falls back here too.
  std::vector<const Known*> best(std::size_t count, const std::function<double(const metadata::Outline&)>& measure) const;
  /// Nothing more to be asked for now; what is under way may change that.
  bool settled() const;
  std::size_t asked() const { return asked_; }
  std::size_t pending() const { return pending_; }
  std::size_t known() const { return known_.size(); }
  const Known* known(Brief node) const { return const_cast<Walk*>(this)->find(node); }
  const metadata::Target& target() const { return target_; }

 private:
  static constexpr std::size_t kMost = 512, kSources = 4;
  struct Credit {
    Brief source;
    double good = 0, bad = 0;
    std::size_t pending = 0;  // hints of it that are being tried
  };
  Known* find(Brief node);
  double doubt(const Known& known) const;
  double standing(const Known& known) const { return known.hint.remoteness + kDoubt * doubt(known); }
  void settle(const Known& known, bool good);
  bool exhausted(const metadata::Endpoint& at) const;
  static bool as_said(double said, double is) { return is <= said * 1.5 + 0.05; }
  void leave_sources(const Known& known);
  bool untried(const Known& known) const;
  void begin(const Known& known);
  void end(const Known& known);
  Credit& credit(Brief source);
  template <typename Place>
  std::vector<const Known*> ranked(std::size_t count, Place place) const;
  std::vector<const Known*> ranked(std::size_t count) const;
  static constexpr double kDoubt = 1.0;  // what a hint of somebody who was always wrong falls back by
  static constexpr double kExposed = 8;  // false hints that a lie about oneself counts as
  static constexpr double kNearer = 0.3; // a node may be nearer by this share than was said

  metadata::Target target_;
  Options options_;
  std::vector<Known> known_;
  std::vector<Credit> credits_;
  std::vector<Brief> shunned_;
  std::size_t asked_ = 0, pending_ = 0;
};

}  // namespace p2p::directory
