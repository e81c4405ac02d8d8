// Whom a node keeps in mind. Entries are unsigned here: whoever calls add() has checked them.
#include "overlay/directory/contacts.hpp"

#include "tests/directory/support.hpp"

namespace p2p::directory {
namespace {

using namespace test;

constexpr overlay::TimePoint kNow{1'000'000};

Contacts::Options small(std::uint64_t secret = 9) { return {.roles = {.near = 4, .per_level = 2, .far = 3}, .secret = secret}; }

bool has(const Contacts& contacts, std::uint64_t number) { return contacts.all().contains(id_of(number)); }

TEST_CASE("A node that has not published makes contacts, too") {
  Contacts contacts(small());
  CHECK(contacts.wanted(entry_on_line(1, 0.5)));
  contacts.add(entry_on_line(1, 0.5), kNow, true);
  CHECK(contacts.size() == 1);
}

TEST_CASE("The nearest are kept whatever comes later, and the numbers are bounded") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  Random random(1);
  for (std::uint64_t i = 1; i <= 4; ++i) contacts.add(entry_on_line(i, 0.01 * static_cast<double>(i)), kNow, true);
  for (std::uint64_t i = 100; i < 3000; ++i) {
    contacts.add(entry_on_line(i, 0.1 + 0.8 * random.uniform()), kNow, true);
    REQUIRE(contacts.size() <= 4 + 3 + 2 * 64);
  }
  for (std::uint64_t i = 1; i <= 4; ++i) {
    CHECK(has(contacts, i));
    CHECK(contacts.all().at(id_of(i)).role.near);
  }
  CHECK(contacts.size() <= 4 + 3 + 2 * 14);
  const auto best = contacts.best({.by = By::joint, .sketch = on_line(0)}, 2);
  REQUIRE(best.size() == 2);
  CHECK(best[0]->entry.node == id_of(1));
  CHECK(best[1]->entry.node == id_of(2));
}

TEST_CASE("Whoever is named a thousand times is no likelier to be of the far sample than whoever is named once") {
  int often_kept = 0, once_kept = 0;
  for (std::uint64_t secret = 1; secret <= 150; ++secret) {
    // Without the near ones and the ladder: what is left is the sample.
    Contacts contacts({.roles = {.near = 0, .per_level = 0, .far = 10}, .secret = secret});
    contacts.centre(on_line(0));
    for (std::uint64_t i = 0; i < 100; ++i) {
      const std::uint64_t loud = i % 10;
      contacts.add(entry_on_line(1000 + i, 0.5), kNow, true);
      for (int k = 0; k < 10; ++k) contacts.add(entry_on_line(1000 + loud, 0.5, 2 + i), kNow, true);
    }
    REQUIRE(contacts.size() == 10);
    for (std::uint64_t i = 0; i < 100; ++i) (i < 10 ? often_kept : once_kept) += has(contacts, 1000 + i) ? 1 : 0;
  }
  // A tenth of each: 150 of 1500 and 1350 of 13500, with standard deviations of 12 and 35.
  CHECK(often_kept > 150 - 48);
  CHECK(often_kept < 150 + 48);
  CHECK(once_kept + often_kept == 1500);
}

TEST_CASE("wanted() says what add() does") {
  const auto secret = GENERATE(range(1, 6));
  Contacts contacts(small(static_cast<std::uint64_t>(secret)));
  contacts.centre(on_line(0));
  Random random(static_cast<std::uint64_t>(secret));
  for (std::uint64_t i = 1; i < 500; ++i) {
    const auto number = 1 + random.below(600);
    const auto entry = entry_on_line(number, 0.9 * random.uniform());
    const bool known = has(contacts, number);
    const bool wanted = contacts.wanted(entry);
    // Somebody who was asked for our like says the same.
    REQUIRE(contacts.wanted(hint_of(entry, {.by = By::joint, .sketch = on_line(0)}), 0) == wanted);
    contacts.add(entry, kNow, true);
    if (!known) REQUIRE(wanted == has(contacts, number));
    if (known) REQUIRE_FALSE(wanted);
  }
}

TEST_CASE("How far a hint is counts against the presence that was asked for, and no other") {
  Contacts contacts({.roles = {.near = 2, .per_level = 0, .far = 0, .archive = 2}, .secret = 9});
  contacts.centre(on_line(0));
  contacts.archive({on_line(0.5), on_line(0.9)});
  for (std::uint64_t i = 1; i <= 8; ++i) {
    contacts.add(entry_on_line(i, 0.01 * static_cast<double>(i)), kNow, true);
    contacts.add(entry_on_line(10 + i, 0.5 + 0.01 * static_cast<double>(i)), kNow, true);
  }
  const auto hint = [](double x, double from) {
    return hint_of(entry_on_line(99, x), {.by = By::joint, .sketch = on_line(from)});
  };
  CHECK(contacts.wanted(hint(0, 0), 0));
  CHECK_FALSE(contacts.wanted(hint(0.1, 0), 0));
  CHECK(contacts.wanted(hint(0.5, 0.5), 1));
  CHECK_FALSE(contacts.wanted(hint(0.4, 0.5), 1));
  CHECK(contacts.wanted(hint(0.86, 0.9), 2));   // nearer than those around the first
  CHECK_FALSE(contacts.wanted(hint(0, 0), 3));  // there is no third
}

TEST_CASE("Of two entries of a node the newer is kept, in whichever order they come") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  contacts.add(entry_on_line(1, 0.1, 5), kNow, true);
  contacts.add(entry_on_line(1, 0.3, 4), kNow, true);
  CHECK(contacts.all().at(id_of(1)).distance == Approx(0.1).margin(0.01));
  contacts.add(entry_on_line(1, 0.2, 6), kNow, true);
  CHECK(contacts.all().at(id_of(1)).distance == Approx(0.2).margin(0.01));
}

TEST_CASE("A contact goes when it has failed twice running, not when it answers in between") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  contacts.add(entry_on_line(1, 0.1), kNow, true);
  contacts.failed(brief(id_of(1)));
  CHECK(has(contacts, 1));
  CHECK(contacts.best({.by = By::joint, .sketch = on_line(0)}, 9).empty());
  contacts.add(entry_on_line(1, 0.1), kNow + 1s, true);
  contacts.failed(brief(id_of(1)));
  CHECK(has(contacts, 1));
  contacts.failed(brief(id_of(1)));
  CHECK_FALSE(has(contacts, 1));
  contacts.failed(brief(id_of(1)));
}

TEST_CASE("Somebody who is only spoken of is not heard from: his time to be forgotten goes on") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  contacts.add(entry_on_line(1, 0.1, 1), kNow, true);
  contacts.add(entry_on_line(2, 0.1, 1), kNow, true);
  const auto later = kNow + minutes(60);
  contacts.add(entry_on_line(1, 0.1, 2), later, false);
  contacts.add(entry_on_line(2, 0.1, 2), later, true);
  contacts.expire(kNow + minutes(91));
  CHECK_FALSE(has(contacts, 1));
  CHECK(has(contacts, 2));
}

TEST_CASE("The one not heard from for longest is next, but one that failed is before all others") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  CHECK(contacts.stalest() == nullptr);
  for (std::uint64_t i = 1; i <= 4; ++i) contacts.add(entry_on_line(i, 0.1), kNow + i * 1s, true);
  CHECK(contacts.stalest()->entry.node == id_of(1));
  contacts.failed(brief(id_of(3)));
  CHECK(contacts.stalest()->entry.node == id_of(3));
}

TEST_CASE("When its own experience moves, a node's near contacts are those near to where it is now") {
  Contacts contacts(small());
  contacts.centre(on_line(0));
  for (std::uint64_t i = 0; i < 40; ++i) contacts.add(entry_on_line(1 + i, 0.02 * static_cast<double>(i)), kNow, true);
  const double before = contacts.usual_distance(By::joint);
  CHECK(before < 0.1);
  contacts.centre(on_line(0.9));
  for (const auto& [id, contact] : contacts.all()) {
    CHECK(contact.distance == Approx(metadata::joint_distance(on_line(0.9), contact.entry.sketch)));
  }
  contacts.add(entry_on_line(77, 0.9), kNow, true);
  CHECK(contacts.all().at(id_of(77)).role.near);
}

TEST_CASE("A ladder has somebody at every distance: half of all, a quarter of all, and so on") {
  Contacts contacts({.roles = {.near = 2, .per_level = 2, .far = 0}, .secret = 5});
  contacts.centre(on_line(0));
  for (std::uint64_t i = 0; i < 1000; ++i) contacts.add(entry_on_line(1 + i, 0.0009 * static_cast<double>(i)), kNow, true);
  std::size_t below_a_tenth = 0, above = 0;
  for (const auto& [id, contact] : contacts.all()) (contact.distance < 0.09 ? below_a_tenth : above) += 1;
  CHECK(below_a_tenth >= 6);
  CHECK(above >= 4);
}

}  // namespace
}  // namespace p2p::directory
