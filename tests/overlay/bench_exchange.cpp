// Parts over real links on loopback, against what else moves bytes there.
//   bench_exchange throughput [megabytes=256] [chunk=262144] [runs=5]
//   bench_exchange latency [runs=20]
//
// throughput: a large part in blocks of 8 MB that do not compress; two loops in one process, a thread each. In every run, one
// after the other: a plain GnuTLS stream (two threads, what comes is thrown away), the same from memory to memory with
// SHA-256 on arrival, iperf3 where it is installed, a first pull (the holder hashes the part before it can name it), and a
// pull of a part that somebody has asked for already. Printed: what arrived per second from the question to the last
// checked byte, and processor time of both ends. A ratio is of two figures of the same run.
// latency: from the question to the last checked byte of one block of 4 kB and of a part of 64 kB in 16 blocks, over a wire
// with a round-trip time: on a fresh link, on a fresh one that resumes an earlier one, and on a kept one.
#include <unistd.h>

#include <string_view>
#include <thread>

#include "tests/net/delay_relay.hpp"
#include "tests/net/plain_stream.hpp"
#include "tests/overlay/two_ends.hpp"

namespace p2p::net::testing {
namespace {

struct Figure {
  std::vector<double> rate, holder, asker, beside;  // MB/s, then ms of processor per MB
  void add(double megabytes, double seconds, const Processor& used) {
    rate.push_back(megabytes / seconds);
    holder.push_back(used.holder / megabytes * 1e3);
    asker.push_back(used.asker / megabytes * 1e3);
    beside.push_back(used.beside / megabytes * 1e3);
  }
};

double ratio(const Figure& of, const Figure& to) {
  std::vector<double> out;
  for (std::size_t i = 0; i < of.rate.size(); ++i) out.push_back(of.rate[i] / to.rate[i]);
  return median(out);
}

double processor_ratio(const Figure& of, const Figure& to) {
  std::vector<double> out;
  const auto all = [](const Figure& figure, std::size_t i) { return figure.holder[i] + figure.asker[i] + figure.beside[i]; };
  for (std::size_t i = 0; i < of.rate.size(); ++i) out.push_back(all(of, i) / all(to, i));
  return median(out);
}

void print(const char* what, const Figure& of, const Figure& plain) {
  const auto [low, high] = std::minmax_element(of.rate.begin(), of.rate.end());
  std::printf("%-44s %5.0f MB/s (%.0f to %.0f), %.2f of plain; processor ms/MB: sender %.2f, receiver %.2f, beside %.2f; all %.2f of plain\n",
              what, median(of.rate), *low, *high, ratio(of, plain), median(of.holder), median(of.asker), median(of.beside),
              processor_ratio(of, plain));
}

/// MB/s as iperf3 says it; 0 when it is not there.
double iperf(std::size_t megabytes) {
  if (std::system("command -v iperf3 > /dev/null 2>&1") != 0) return 0;
  const int port = 20000 + static_cast<int>(::getpid() % 20000);
  const std::string at = std::to_string(port);
  if (std::system(("iperf3 -s -1 -D -B 127.0.0.1 -p " + at).c_str()) != 0) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  FILE* pipe = ::popen(("iperf3 -c 127.0.0.1 -J -p " + at + " -n " + std::to_string(megabytes) + "M").c_str(), "r");
  if (pipe == nullptr) return 0;
  std::string text;
  std::array<char, 4096> piece;
  while (const auto count = std::fread(piece.data(), 1, piece.size(), pipe)) text.append(piece.data(), count);
  ::pclose(pipe);
  const auto sum = text.find("\"sum_received\"");
  const auto bits = sum == std::string::npos ? sum : text.find("\"bits_per_second\":", sum);
  return bits == std::string::npos ? 0 : std::strtod(text.c_str() + bits + 18, nullptr) / 8e6;
}

void throughput(std::size_t megabytes, std::size_t chunk_bytes, int runs) {
  overlay::ExchangeLimits limits;
  limits.chunk_bytes = chunk_bytes;
  limits.frame_bytes = chunk_bytes + 4096;
  limits.part_bytes = std::size_t{1} << 30;
  limits.block_bytes = 16u << 20;
  limits.requests_per_second = 1'000'000;
  limits.send_bytes_per_second = 0;
  limits.processor_per_peer = limits.processor_for_all = overlay::Duration(0);
  limits.store_bytes = 0;
  const std::size_t bytes = megabytes * 1'000'000;
  const auto mb = static_cast<double>(megabytes);
  Figure plain, kept, first, again;
  std::vector<double> bare;
  std::string cipher;
  for (int i = 0; i < runs; ++i) {
    auto stream = plain_stream(bytes, Load::passing);
    plain.add(mb, stream.seconds, {stream.sender_cpu, stream.receiver_cpu, 0});
    cipher = stream.cipher;
    stream = plain_stream(bytes, Load::kept);
    kept.add(mb, stream.seconds, {stream.sender_cpu, stream.receiver_cpu, 0});
    if (const double rate = iperf(megabytes); rate > 0) bare.push_back(rate);
    TwoEnds ends(limits);
    ends.offer = offer_of(64 << 10, 8u << 20, 1000 + static_cast<std::uint64_t>(i));
    (void)ends.pull();  // the link stands
    std::this_thread::sleep_for(std::chrono::milliseconds(600));  // the holder answers alike for half a second
    ends.offer = offer_of(bytes, 8u << 20, static_cast<std::uint64_t>(i));
    for (Figure* figure : {&first, &again}) {
      overlay::PulledPart part;
      const auto before = ends.processor();
      const double seconds = ends.pull(&part);
      const auto after = ends.processor();
      figure->add(mb, seconds, {after.holder - before.holder, after.asker - before.asker, after.beside - before.beside});
    }
  }
  std::printf("%zu MB, medians of %d runs; chunks of %zu bytes; %s\n", megabytes, runs, chunk_bytes, cipher.c_str());
  print("plain GnuTLS stream, thrown away", plain, plain);
  print("plain GnuTLS, memory to memory, SHA-256", kept, plain);
  print("first pull of a part", first, plain);
  print("pull of a part that was asked for before", again, plain);
  if (!bare.empty()) std::printf("%-44s %5.0f MB/s\n", "iperf3, no encryption", median(bare));
}

void latency(int runs) {
  struct Row {
    const char* what;
    std::size_t bytes, block;
    enum class Link { fresh, resumed, kept } link;
    std::vector<double> ms;  // per round-trip time
  };
  std::vector<Row> rows = {{"one block of 4 kB, fresh link", 4 << 10, 4 << 10, Row::Link::fresh, {}},
                           {"one block of 4 kB, resumed link", 4 << 10, 4 << 10, Row::Link::resumed, {}},
                           {"one block of 4 kB, kept link", 4 << 10, 4 << 10, Row::Link::kept, {}},
                           {"64 kB in 16 blocks, fresh link", 64 << 10, 4 << 10, Row::Link::fresh, {}},
                           {"64 kB in 16 blocks, resumed link", 64 << 10, 4 << 10, Row::Link::resumed, {}},
                           {"64 kB in 16 blocks, kept link", 64 << 10, 4 << 10, Row::Link::kept, {}}};
  const std::vector<int> trips = {0, 20, 80};
  for (const int rtt : trips) {
    for (auto& row : rows) {
      std::vector<double> took;
      for (int i = 0; i < (rtt == 0 ? runs : std::max(3, runs / 4)); ++i) {
        overlay::ExchangeLimits limits;
        limits.store_bytes = 0;
        TwoEnds ends(limits);
        ends.offer = offer_of(row.bytes, row.block, 5000 + static_cast<std::uint64_t>(i));
        std::unique_ptr<DelayRelay> relay;
        if (rtt > 0) {
          relay = std::make_unique<DelayRelay>(ends.peer.endpoint.port, std::chrono::milliseconds(rtt));
          ends.peer.endpoint.port = relay->port();
        }
        double seconds = ends.pull();
        if (row.link == Row::Link::resumed) ends.unlink();
        if (row.link != Row::Link::fresh) seconds = ends.pull();  // nothing is kept, so it travels again
        if (ends.resumed_links() != (row.link == Row::Link::resumed ? 1 : 0)) std::abort();
        took.push_back(seconds * 1e3);
      }
      row.ms.push_back(median(took));
    }
  }
  for (const auto& row : rows) {
    std::printf("%-34s", row.what);
    for (std::size_t i = 0; i < trips.size(); ++i) std::printf("  RTT %d ms: %.2f ms", trips[i], row.ms[i]);
    std::printf("; %.2f round trips\n", (row.ms[2] - row.ms[1]) / (trips[2] - trips[1]));
  }
}

}  // namespace
}  // namespace p2p::net::testing

int main(int argc, char** argv) {
  std::size_t megabytes = 256, chunk = 256 << 10;
  const std::string_view what = argc > 1 ? argv[1] : "";
  int runs = what == "latency" ? 20 : 5;
  for (int i = 2; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word.starts_with("megabytes=")) megabytes = std::strtoul(argv[i] + 10, nullptr, 10);
    if (word.starts_with("chunk=")) chunk = std::strtoul(argv[i] + 6, nullptr, 10);
    if (word.starts_with("runs=")) runs = std::max(1, std::atoi(argv[i] + 5));
  }
  if (what == "throughput") {
    p2p::net::testing::throughput(megabytes, chunk, runs);
  } else if (what == "latency") {
    p2p::net::testing::latency(runs);
  } else {
    std::puts("usage: bench_exchange throughput [megabytes=256] [chunk=262144] [runs=5] | latency [runs=20]");
    return 2;
  }
}
