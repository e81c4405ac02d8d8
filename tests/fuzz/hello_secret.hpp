// The secret that the hellos of the corpus offer.
#pragma once

#include "overlay/net/resumption.hpp"

namespace p2p::net::testing {

inline Resumption hello_secret(const metadata::NodeId& peer) {
  Resumption out{peer, {}, {}};
  out.secret.id.fill(5);
  out.secret.key.fill(105);
  return out;
}

}  // namespace p2p::net::testing
