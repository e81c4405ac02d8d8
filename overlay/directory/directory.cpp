// The isolated learner's directory.
#include "overlay/directory/directory.hpp"

namespace p2p::directory {

namespace {

class NoDirectory final : public Directory {
 public:
  explicit NoDirectory(Executor& executor) : executor_(executor) {}
  void publish(const metadata::Fingerprint&) override {}
  void remember(const std::vector<Archived>&) override {}
  void withdraw() override {}
  void lookup(const metadata::Need&, const LookupOptions&, std::function<void(LookupResult)> done) override {
    executor_.post([done = std::move(done)] { done({}); });
  }
  std::uint64_t watch(const metadata::Need&, double, std::function<void(const Candidate&)>) override { return 0; }
  void unwatch(std::uint64_t) override {}
  void read(const Place&, std::function<void(Result<Bucket>)> done) override {
    executor_.post([done = std::move(done)] { done(fail(ErrorCode::unavailable, "this node has no directory, and so no buckets")); });
  }
  Standing standing() const override { return {}; }

 private:
  Executor& executor_;
};

}  // namespace

std::unique_ptr<Directory> make_no_directory(Executor& executor) {
  return std::make_unique<NoDirectory>(executor);
}

}  // namespace p2p::directory
