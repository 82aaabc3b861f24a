#pragma once

#include <cstdint>

/// A sum in which order counts (FNV-1a).
class Sum
{
public:
  void add(std::uint64_t value)
  {
    for (unsigned i = 0; i < 8; ++i)
      {
        _value ^= value >> 8 * i & 0xff;
        _value *= 0x100000001b3;
      }
  }

  std::uint64_t value() const { return _value; }

private:
  std::uint64_t _value = 0xcbf29ce484222325;
};

/// Vectors, maps and strings that grow, move and are freed at random, with contents that are checked.
/// The seed alone decides what is done. Throws std::logic_error when contents were lost.
std::uint64_t grow_and_free(std::uint64_t seed, unsigned rounds);
