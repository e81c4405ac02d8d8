// Writes the seeds of the fuzz corpora: one good example of every format.   make_corpus tests/fuzz/corpus
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <fmt/core.h>

#include "learner/drift/detector.hpp"
#include "learner/drift/drift_monitor.hpp"
#include "learner/metrics.hpp"
#include "learner/model.hpp"
#include "learner/snapshot.hpp"
#include "metadata/base/random.hpp"
#include "metadata/codec.hpp"
#include "metadata/record.hpp"
#include "overlay/directory/messages.hpp"
#include "overlay/directory/registry_messages.hpp"
#include "overlay/chunk_coder.hpp"
#include "overlay/manifest.hpp"
#include "overlay/messages.hpp"
#include "overlay/net/tls_session.hpp"
#include "overlay/node/journal.hpp"
#include "overlay/node/library.hpp"
#include "tests/fuzz/hello_secret.hpp"
#include "tests/fuzz/nodes.hpp"

using namespace p2p;

namespace {

std::filesystem::path root;

void write(const std::string& target, const std::string& name, ByteView bytes) {
  std::filesystem::create_directories(root / target);
  std::ofstream out(root / target / name, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Bytes prefixed(std::uint8_t first, ByteView rest) {
  Bytes out(1 + rest.size(), first);
  std::copy(rest.begin(), rest.end(), out.begin() + 1);
  return out;
}

metadata::Fingerprint example_fingerprint() {
  metadata::FingerprintBuilder builder({.dimensions = 8, .classes = 3});
  Random random(1);
  std::array<float, 8> phi{};
  for (int i = 0; i < 60; ++i) {
    for (auto& value : phi) value = static_cast<float>(random.normal() * 0.5);
    builder.add(phi, i % 3, i % 4 != 0);
  }
  return builder.build();
}

metadata::Entry example_entry() {
  const auto fingerprint = example_fingerprint();
  auto entry = metadata::entry_of(fingerprint, metadata::Sketcher({}, 8, 3).sketch(fingerprint));
  entry.node = metadata::KeyPair::from_seed({7}).id();
  entry.version = 1;
  entry.endpoint = {"127.0.0.1", 4222};
  entry.table_port = 4223;
  entry.recall = {0, 11, 15, 0};
  return entry;
}

void metadata_seeds() {
  metadata::Encoder encoder;
  encoder.array(4).map(1).text("key").integer(-3).binary(view("bytes")).real(2.5).array(2).nil().boolean(true);
  write("codec", "values", encoder.take());

  metadata::Task task;
  task.name = "fuzz";
  task.features = {{.name = "a", .count = 3},
                   {.name = "b", .kind = metadata::FeatureGroup::Kind::categorical, .categories = 4}};
  task.classes = {"x", "y", "z"};
  task.family = "rff";
  task.params = {{"dimensions", 64}};
  task.bandwidth = 1.5;
  write("task", "canonical", metadata::canonical(task));
  write("task", "toml", view(metadata::to_toml(task)));
  metadata::Task named = task;
  named.features[0].missing = 0.5;
  named.features[1].category_names = {"tcp", "udp", "icmp", "\xc3\xa4"};
  write("task", "canonical-names", metadata::canonical(named));
  write("task", "toml-names", view(metadata::to_toml(named)));

  const auto key = metadata::KeyPair::from_seed({7});
  write("keys", "pem", view(key.to_pem()));
  write("keys", "hex", view(key.id().hex()));

  const auto fingerprint = example_fingerprint();
  write("records", "fingerprint", metadata::encode(fingerprint));
  const auto entry = example_entry();
  const Bytes sealed = metadata::seal(entry, key);
  write("records", "entry", sealed);
  auto archived = entry;
  archived.concept_id = 0x01020304;
  write("records", "entry-archived", metadata::seal(archived, key));
  using Kind = metadata::Place::Kind;
  write("records", "listing-joint", metadata::pack({metadata::place_of(entry.sketch, Kind::joint, 1, 9), sealed}));
  write("records", "listing-marginal", metadata::pack({metadata::place_of(entry.sketch, Kind::marginal, 0, 3), sealed}));
  write("records", "listing-label", metadata::pack({{Kind::label, 2, 0, 0}, sealed}));
  write("records", "description",
        metadata::seal(metadata::Description{metadata::id(task), key.id(), 1, fingerprint}, key));
  write("records", "endpoint", view(std::string_view("[::1]:4222")));
}

void learner_seeds() {
  for (std::size_t f = 0; f < learner::families().size(); ++f) {
    const std::string name(learner::families()[f]);
    const auto model = fuzz::trained(name, 1500, 3);
    write("model", name, prefixed(static_cast<std::uint8_t>(f), model->encode()));
    for (const auto precision : {learner::Precision::bits32, learner::Precision::bits8, learner::Precision::bits4}) {
      const auto part = model->partition({}, precision);
      for (const std::uint8_t blend : {0, 1}) {
        Bytes content = {static_cast<std::uint8_t>(f), blend};
        content.insert(content.end(), part.blocks[0].content.begin(), part.blocks[0].content.end());
        write("part", fmt::format("{}-{}-{}", name, static_cast<int>(precision), blend), content);
      }
    }
  }
  learner::Prequential metrics(3, 10);
  for (int i = 0; i < 30; ++i) metrics.add(i % 3, (i * i) % 3);
  write("snapshot", "metrics", metrics.encode());
  write("snapshot", "container", learner::encode(learner::Snapshot{{{"model", {1, 2, 3}}, {"metrics", metrics.encode()}}}));
}

void drift_seeds() {
  Random random(4);
  const auto names = learner::detectors();
  for (std::size_t k = 0; k < names.size(); ++k) {
    auto detector = learner::make_detector(names[k]);
    P2P_ASSERT(detector.has_value());
    for (int i = 0; i < 400; ++i) (*detector)->update(random.uniform() < (i < 360 ? 0.2 : 0.7) ? 1 : 0);
    ByteWriter out;
    (*detector)->encode(out);
    write("drift", std::string(names[k]), prefixed(static_cast<std::uint8_t>(k), out.bytes()));
  }
  learner::DriftMonitor::Options options;
  options.classes = 3;
  learner::DriftMonitor monitor(options);
  for (int i = 0; i < 500; ++i) monitor.update(i < 450 ? i % 2 : i % 3, random.uniform() < 0.8 ? i % 3 : 2);
  write("drift", "monitor", prefixed(static_cast<std::uint8_t>(names.size()), monitor.encode()));
}

void frame_seeds() {
  const metadata::Hash hash = metadata::sha256(view(std::string_view("fuzz")));
  const metadata::Endpoint at{"192.0.2.7", 4300};
  const Bytes lines = overlay::encode(overlay::Manifest{"rff", {{"class/1", {1}, 20.0, 16, hash}}});
  write("frames", "lines", lines);
  const std::vector<std::pair<std::string, overlay::Message>> messages = {
      {"hello", overlay::Hello{.to = {}, .frame_bytes = 1024, .chunk_bytes = 512, .requests = 4, .accepts = at}},
      {"describe", overlay::DescribeRequest{hash}},
      {"manifest", overlay::ManifestRequest{hash, {1, 2}, 4096}},
      {"chunk", overlay::ChunkRequest{hash, 0, 16}},
      {"feedback", overlay::Feedback{hash, 0.25}},
      {"description", overlay::DescriptionAnswer{hash, 16, Bytes(8, 7)}},
      {"head", overlay::ManifestAnswer{metadata::sha256(lines), lines.size(), lines, {{{}, at}}}},
      {"along", overlay::ManifestAnswer{metadata::sha256(lines), lines.size(), lines, {}, {{overlay::Coding::plain, Bytes(16, 7)}}}},
      {"content", overlay::ChunkAnswer{overlay::Coding::plain, Bytes(16, 7)}},
      {"refusal", overlay::Refusal{overlay::Refusal::Why::busy, 100, "later", {{{}, at}}}},
  };
  for (const auto& [name, message] : messages) {
    const auto bytes = overlay::encode(overlay::Frame{1, message});
    write("frames", name, ByteView(bytes).subspan(4));
    write("frames", name + "-stream", bytes);
  }
}

void chunk_seeds() {
  Bytes content(600), base(600);
  for (std::size_t i = 0; i < content.size(); ++i) {
    base[i] = static_cast<std::uint8_t>(i * i / 7);  // as the target has it
    content[i] = static_cast<std::uint8_t>(base[i] + i % 3);
  }
  overlay::ChunkCoder coder;
  for (const bool of_base : {false, true}) {
    const auto packed = coder.pack(content, {0, 500}, of_base ? ByteView(base) : ByteView());
    Bytes seed{static_cast<std::uint8_t>(packed.coding), 500 & 255, 500 >> 8, 0};
    seed.insert(seed.end(), packed.bytes.begin(), packed.bytes.end());
    write("chunk", of_base ? "change" : "alone", seed);
  }
  Bytes bomb = *from_hex("00ffff0028b52ffd0058");
  bomb[0] = 1;
  for (int i = 0; i < 64; ++i) bomb.insert(bomb.end(), {2, 0, 16, 0});
  write("chunk", "bomb", bomb);
}

void registry_seeds() {
  using namespace directory;
  const auto key = metadata::KeyPair::from_seed({7});
  const auto fingerprint = example_fingerprint();
  const metadata::TaskId task = metadata::sha256(view(std::string_view("fuzz")));
  auto entry = metadata::entry_of(fingerprint, metadata::Sketcher(task, 8, 3).sketch(fingerprint));
  entry.task = metadata::tag(task);
  entry.node = key.id();
  entry.version = 1;
  entry.endpoint = {"127.0.0.1", 4222};
  entry.table_port = 4222;
  const auto sealed = metadata::seal(entry, key);
  const auto description = metadata::seal(metadata::Description{task, key.id(), 1, fingerprint}, key);
  const registry::Query query{task, registry::Similarity::priors, metadata::By::classes, {0, 2}, metadata::encode(fingerprint)};
  const std::vector<std::pair<std::string, registry::Message>> messages = {
      {"greeting", registry::Greeting{}},
      {"publish", registry::Publish{sealed, description}},
      {"withdraw", registry::Withdraw{task, {}}},
      {"withdraw-one", registry::Withdraw{task, 7}},
      {"lookup", registry::Lookup{query, 5, {key.id(), key.id()}}},
      {"watch", registry::Watch{query, 0.25}},
      {"unwatch", registry::Unwatch{5}},
      {"ping", registry::Ping{}},
      {"done", registry::Done{}},
      {"found", registry::Found{2, true, {{sealed, description}, {sealed, description}}}},
      {"appeared", registry::Appeared{{sealed, description}}},
      {"refused", registry::Refused{registry::Refused::Why::full, 100, "no room"}},
      {"goodbye", overlay::Goodbye{"the end"}},
  };
  for (const auto& [name, message] : messages) {
    const auto bytes = registry::encode({1, message});
    write("registry", name, ByteView(bytes).subspan(4));
  }
}

void datagram_seeds() {
  const auto key = metadata::KeyPair::from_seed({7});
  const auto entry = example_entry();
  const Bytes sealed = metadata::seal(entry, key);
  const metadata::Target target{metadata::By::classes, entry.sketch, 6, false};
  const auto hint = directory::hint_of(entry);
  write("datagrams", "question", directory::encode(directory::Question{1, entry.task, target, true, 250, sealed, {1, 0xffffff}, hint.id}));
  write("datagrams", "question-filled", directory::encode(directory::Question{1, entry.task, {}, false, 0, {}}, 400));
  write("datagrams", "answer", directory::encode(directory::Answer{1, sealed, {hint, hint}}));
  write("datagrams", "answer-full",
        directory::encode(directory::Answer{1, {}, std::vector(directory::Answer::kMaxHints, hint)}));
  write("datagrams", "fetch", directory::encode(directory::Fetch{1, entry.task, hint.id}, 100));
  const Bytes description = metadata::seal(metadata::Description{{}, key.id(), 1, example_fingerprint()}, key);
  write("datagrams", "described", directory::encode(directory::Described{1, sealed, description}));
  write("datagrams", "notice", directory::encode(directory::Notice{1, sealed}));
}

void journal_seeds() {
  node::DriftReport report;
  report.id = 3;
  report.classes = {0, 2};
  report.finished = report.accepted = true;
  report.helper = "a1b2";
  report.reason = "a1b2 won its trial";
  report.tally = {40, 10, 31, 22, 1};
  node::add_step(report, {.kind = node::EventKind::drift_detected, .samples = 900, .wall_ms = 1'800'000'000'000, .text = "alarm"});
  node::add_step(report, {.kind = node::EventKind::trial_done,
                          .samples = 940,
                          .wall_ms = 1'800'000'001'000,
                          .subject = "a1b2",
                          .text = "won",
                          .figures = {{"ms", 12.5}},
                          .challengers = {{"a1b2, all that it knows", report.tally, 0.001}}});
  node::Journal journal;
  journal.put(report);
  report = {};
  report.id = 4;
  report.cause = learner::DriftCause::inputs;
  report.accepted = report.provisional = true;
  journal.put(report);
  write("journal", "two-drifts", journal.encode());
  node::FormerModels formers({});
  formers.keep({3, 1100, {1, 2}, fuzz::trained("softmax", 30, 1)->encode()});
  write("journal", "former-models", formers.encode());
}

void library_seeds() {
  node::Library library({.bytes = 1u << 20, .concepts = 4});
  metadata::FingerprintBuilder other({.dimensions = 8, .classes = fuzz::kClasses, .half_life = 0});
  for (int i = 0; i < 60; ++i) other.add(std::vector<float>(8, i % 3 == 1 ? 0.4f : -0.2f), i % 3, true);
  (void)library.archive(fuzz::trained("softmax", 60, 2)->partition({}), example_fingerprint(), 300);
  (void)library.archive(fuzz::trained("softmax", 90, 3)->partition({}, learner::Precision::bits8), other.build(), 600, true);
  library.used(1, 700);
  P2P_ASSERT(library.all().size() == 2);
  write("library", "two-concepts", library.encode());
  write("library", "empty", node::Library({}).encode());
}

/// Without their checksums: the target puts on one that fits.
void node_seeds() {
  sim::Simulation simulation(1);
  simulation.add_host();
  const auto node = fuzz::make_node(simulation.host(0));
  const auto save = [&](const std::string& name) {
    const Bytes whole = node->snapshot();
    write("node", name, ByteView(whole).first(whole.size() - 4));
  };
  save("fresh");
  const auto live = [&](int samples, int shift) {
    fuzz::feed(*node, samples, shift);
    simulation.run_for(std::chrono::seconds(1));
  };
  live(400, 0);
  for (int back = 0; back < 2; ++back) {
    for (int i = 0; i < 10; ++i) live(60, 1);
    for (int i = 0; i < 10; ++i) live(60, 0);
  }
  P2P_ASSERT(!node->drifts().empty() && !node->library().all().empty());
  save("drifted");
}

Bytes script(std::uint8_t how, const std::vector<overlay::Frame>& frames) {
  ByteWriter out;
  out.put(how);
  for (const auto& frame : frames) {
    const Bytes bytes = overlay::encode(frame);
    const ByteView content = how & 2 ? ByteView(bytes) : ByteView(bytes).subspan(4);
    out.put(static_cast<std::uint16_t>(content.size()));
    out.put_array(content);
  }
  return out.take();
}

void link_seeds() {
  metadata::TaskId task;
  task.bytes.fill(7);  // what the honest party of tests/overlay/support.hpp serves
  const Bytes content(40, 7);
  const metadata::Hash hash = metadata::sha256(content);
  const Bytes lines = overlay::encode(overlay::Manifest{"linear", {{"class/0", {0}, 1.0, content.size(), hash}}});
  const metadata::Hash list = metadata::sha256(lines);
  write("links", "asker", script(0, {{1, overlay::DescribeRequest{task}}, {2, overlay::ManifestRequest{task, {1}, 4096}},
                                     {3, overlay::ChunkRequest{hash, 0, 16}}, {4, overlay::Feedback{task, 0.5}},
                                     {0, overlay::Goodbye{"the end"}}}));
  write("links", "asker-in-bytes", script(2, {{1, overlay::ManifestRequest{task, {}, 0}}}));
  write("links", "no-greeting", script(4, {{1, overlay::DescribeRequest{task}}}));
  const overlay::ManifestAnswer head{list, lines.size(), lines, {}};
  auto whole = head;
  whole.along = {{overlay::Coding::plain, content}};
  write("links", "helper", script(1, {{1, head}, {2, overlay::ChunkAnswer{overlay::Coding::plain, content}}}));
  write("links", "helper-along", script(1, {{1, whole}}));
  write("links", "helper-busy", script(1, {{1, overlay::Refusal{overlay::Refusal::Why::busy, 10, "later", {}}}, {2, head},
                                           {3, overlay::Refusal{overlay::Refusal::Why::gone, 0, "", {}}}}));
  write("links", "answers-unasked", script(1, {{9, head}, {1, overlay::DescribeRequest{task}}}));
}

void control_seeds() {
  const std::string fingerprint = to_hex(metadata::encode(example_fingerprint()));
  int number = 0;
  for (const std::string& line : std::initializer_list<std::string>{
           R"({"command":"status"})", R"({"command":"history","last":2})", R"({"command":"history","id":1})",
           R"({"command":"rollback","id":2,"redo":true})", R"({"command":"overlay_get","bucket":"joint/1/6/16"})",
           R"({"command":"overlay_get","bucket":"label/y/z"})",
           R"({"command":"overlay_get","bucket":"3ff90091fbb566bbdcb5fb48b7428f1955a0d6c5"})",
           R"({"command":"overlay_watch","by":"classes","classes":[0,2],"within":0.5})",
           R"({"command":"overlay_lookup","by":"marginal","fingerprint":")" + fingerprint + R"("})"}) {
    write("control", fmt::format("{}", number++), view(line));
  }
}

void sample_seeds() {
  write("samples", "csv", view(std::string_view("a,b,label\n1,2.5,x\n,NaN,y\n3,-1e3,x\n")));
  write("samples", "csv-text", view(std::string_view("a,b,label\n1,u,x\n,\"say \"\"v\"\"\",y\n3,1,x\n")));
  write("samples", "libsvm", view(std::string_view("2 3 2 1\n+1 1:0.5 3:-2e0 # c\n-1 qid:7 2:1\n2:1\n")));
  write("samples", "arff", view(std::string_view("% c\n@relation r\n@attribute 'a b' real\n@attribute k {u,'v w',\"x\\\"y\"}\n"
                                                 "@attribute y {p,q}\n@data\n1,u,p\n?,'v w',q\n2\t\"x\\\"y\"\t?\n")));
  write("samples", "arff-sparse", view(std::string_view("@relation r\n@attribute a numeric\n@attribute k {u,v}\n"
                                                        "@attribute y {p,q}\n@data\n{0 2, 2 q}\n{}\n{1 v,0 ?}\n")));
  write("samples", "json", view(std::string_view("{\"x\":[1,null,3],\"y\":\"a\"}\n{\"x\":[1,2,3]}\nnot json\n")));
  write("samples", "json-late", view(std::string_view("{\"x\":[1,2,3]}\n{\"ticket\":\"a-1\",\"y\":\"a\"}\n{\"ticket\":7}\n")));
  Bytes images{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8};
  write("samples", "images", images);
  write("samples", "labels", Bytes{0, 0, 8, 1, 0, 0, 0, 2, 1, 0});
}

void hello_seeds() {
  const auto server = metadata::KeyPair::from_seed({1}).id();
  const auto credentials = *net::TlsCredentials::make(metadata::KeyPair::from_seed({2}));
  const auto hello = [&](std::optional<net::Resumption> offer) {
    const auto session = *net::TlsSession::client(credentials, server, std::move(offer));
    static_cast<void>(session->handshake());
    return session->outgoing().front();
  };
  auto unknown = net::testing::hello_secret(server), wrong = unknown;
  unknown.secret.id.fill(6);
  wrong.secret.key.fill(6);
  const auto offer = hello(net::testing::hello_secret(server));
  write("hello", "plain", hello({}));
  write("hello", "offer", offer);
  write("hello", "unknown", hello(unknown));
  write("hello", "wrong", hello(wrong));
  write("hello", "extension", ByteView(offer).last(59));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus FOLDER\n");
    return 2;
  }
  root = argv[1];
  metadata_seeds();
  learner_seeds();
  drift_seeds();
  frame_seeds();
  chunk_seeds();
  registry_seeds();
  datagram_seeds();
  journal_seeds();
  library_seeds();
  node_seeds();
  link_seeds();
  control_seeds();
  sample_seeds();
  hello_seeds();
  return 0;
}
