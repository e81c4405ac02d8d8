// One link's conversation: greeting, requests with deadlines, answers in order, and one clear end.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include "overlay/exchange.hpp"
#include "overlay/messages.hpp"
#include "overlay/pacer.hpp"

namespace p2p::overlay {

/// What "describe", "manifest", "chunk", "feedback" or "link" a message counts as. Refusals count as what they refuse.
std::string_view traffic_kind(const Message& message);

/// The protocol on one link, both directions; knows nothing of models, snapshots or other links.
///
///   greeting --HELLO--> open --(quiet, retired, broken protocol, link closed, end())--> ended
///
/// Invariants: every request() reports exactly once; on_ended comes exactly once, after all of them; nothing is called
/// after it. At most `requests_per_link` requests wait at either end.
/// Thread: the executor's.
class Session : public std::enable_shared_from_this<Session> {
 public:
  /// Content is lent: it lies in the frame, which goes after the call.
  using OnAnswer = std::function<void(Result<Message>)>;
  struct Owner {
    std::function<void()> on_ready;
    /// The answer to a peer's request; none for what needs none. It is sent at once, so that its content may be lent.
    std::function<std::optional<Message>(const Message&)> on_request;
    /// The answer to a request for content that would have to wait for too long.
    std::function<Message(const ChunkRequest&)> on_no_room;
    std::function<void(const Error&)> on_ended;
    std::function<void(std::string_view, std::size_t)> on_traffic;
  };

  /// `accepts`: where this node takes links, as others are told.
  Session(Executor& executor, std::shared_ptr<Link> link, bool initiated, const ExchangeLimits& limits,
          Endpoint accepts, std::shared_ptr<Pacer> pacer, Owner owner);
  /// Sets the link's handlers and greets.
  void start();

  /// Sends when the peer's bound on unanswered requests allows; fails after request_timeout at the latest. On a link that
  /// was begun here the first short one leaves with the greeting.
  void request(Message message, OnAnswer done);
  /// Sends what has no answer.
  void tell(const Message& message);
  /// Ends the link; the peer is told `error.message`. All requests fail with `error`.
  void end(Error error, Goodbye::Why why = Goodbye::Why::ended);
  /// Not to be used for new work: goes when it is quiet.
  void retire();

  bool ready() const { return state_ == State::open; }
  bool ended() const { return state_ == State::ended; }
  bool initiated() const { return initiated_; }
  bool retired() const { return retired_; }
  /// Nothing is unanswered in either direction.
  bool quiet() const { return pending_.empty() && waiting_.empty() && jobs_.empty(); }
  TimePoint made() const { return made_; }
  TimePoint last_received() const { return last_received_; }
  TimePoint last_active() const { return last_active_; }
  const NodeId& peer() const { return link_->peer(); }
  Endpoint remote() const { return link_->remote(); }
  const Hello& peer_hello() const { return peer_hello_; }
  /// Requests that may be unanswered at once.
  std::size_t request_limit() const;
  /// Smoothed time of short answers; zero before the first.
  Duration round_trip() const { return round_trip_; }
  std::uint64_t sent() const { return link_->bytes_sent(); }
  std::uint64_t received() const { return link_->bytes_received(); }

 private:
  enum class State { greeting, open, ended };
  struct Pending {
    Message request;
    OnAnswer done;
    TimePoint asked;
    Executor::TimerHandle deadline;
  };

  struct Job {
    Frame frame;
    std::size_t bytes = 0;          // of content that it asks for
    std::optional<Message> answer;  // that was settled when it came
  };

  void on_data(ByteView bytes);
  bool on_frame(ByteView body);
  void on_hello(const Hello& hello);
  void on_answer(std::uint64_t id, Message answer, std::size_t bytes);
  void on_deadline(std::uint64_t id);
  void take_job(Frame frame);
  void serve();
  void answer_next();
  void send_waiting();
  bool may_leave(const Message& request) const;
  void send_frame(std::uint64_t id, const Message& message, std::string_view kind);
  void count(std::string_view kind, const Message& message, std::size_t bytes);
  void watch_idle(Duration time);
  void finish(const Error& error);

  Executor& executor_;
  std::shared_ptr<Link> link_;
  bool initiated_;
  ExchangeLimits limits_;
  Endpoint accepts_;
  std::shared_ptr<Pacer> pacer_;
  Owner owner_;
  FrameReader reader_;
  State state_ = State::greeting;
  bool retired_ = false;
  Hello peer_hello_;
  TimePoint made_, greeted_, last_active_, last_received_;
  Duration round_trip_{0};
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, Pending> pending_;                 // asked or waiting, by id
  std::deque<std::uint64_t> waiting_;                        // not sent yet
  std::size_t in_flight_ = 0;                                // sent, not answered
  std::set<std::uint64_t> given_up_;                         // sent, past their deadline: late answers are no lies
  std::deque<Job> jobs_;                                     // the peer's requests, in order
  bool serving_ = false, waiting_turn_ = false;
  std::size_t waiting_bytes_ = 0;                            // of the jobs, as the pacer knows them
  Executor::TimerHandle hello_deadline_, idle_;
};

}  // namespace p2p::overlay
