// A directory in which nobody is ever found: what tests of single pieces build their own upon.
#pragma once

#include "overlay/directory/directory.hpp"

namespace p2p::testing {

class SilentDirectory : public directory::Directory {
 public:
  explicit SilentDirectory(overlay::Executor& executor) : executor_(executor) {}
  void publish(const metadata::Fingerprint&) override {}
  void remember(const std::vector<directory::Archived>&) override {}
  void withdraw() override {}
  void lookup(const metadata::Need&, const directory::LookupOptions&,
              std::function<void(directory::LookupResult)> done) override {
    executor_.post([done = std::move(done)] { done({}); });
  }
  std::uint64_t watch(const metadata::Need&, double, std::function<void(const directory::Candidate&)>) override {
    return 0;
  }
  void unwatch(std::uint64_t) override {}
  void read(const metadata::Place&, std::function<void(Result<directory::Bucket>)> done) override {
    executor_.post([done = std::move(done)] { done(directory::Bucket{}); });
  }
  directory::Standing standing() const override { return {}; }

 protected:
  overlay::Executor& executor_;
};

}  // namespace p2p::testing
