#!/usr/bin/env bash
# build-and-run.sh SOURCE BUILD WORK CXX: installs BUILD into WORK/prefix, then builds and runs examples/ against it.
set -euo pipefail
source=$1 build=$2 work=$3 cxx=$4
rm -rf "$work"
mkdir -p "$work"
cmake --install "$build" --prefix "$work/prefix" >/dev/null

cmake -S "$source/examples" -B "$work/build" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$cxx" \
  -DCMAKE_BUILD_TYPE=Release >/dev/null
cmake --build "$work/build"
"$work/build/learner_only"
"$work/build/sensor_loop"

# The learner alone must not pull in a network library.
if ldd "$work/build/learner_only" | grep -E 'gnutls|libuv|opendht'; then
  echo "learner_only is linked with a network library" >&2
  exit 1
fi

export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name p2p-learner.pc)")
"$cxx" -std=c++20 -O1 "$source/examples/learner_only.cpp" -o "$work/learner_only" \
  $(pkg-config --cflags --libs p2p-learner-core)
"$cxx" -std=c++20 -O1 "$source/examples/sensor_loop.cpp" -o "$work/sensor_loop" \
  $(pkg-config --cflags --libs p2p-learner)
"$work/learner_only" >/dev/null
"$work/sensor_loop" >/dev/null

# The installed program runs from where it was put, and its man page is there.
"$work/prefix/bin/p2p-learner" --version
test -s "$work/prefix/share/man/man1/p2p-learner.1"
echo "1 passed, 0 failed"
