/*
 * Containers that grow and shrink: from a few bytes, which stay inside the C library's pieces, to a megabyte,
 * which makes the library ask its memory server for dataspaces and give them back.
 */
#include "memory.h"

#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

class Random
{
public:
  explicit Random(std::uint64_t seed) : _state(seed) {}

  std::uint64_t below(std::uint64_t end)
  {
    _state = _state * 6364136223846793005 + 1442695040888963407;
    return (_state >> 33) % end;
  }

private:
  std::uint64_t _state;
};

/// A piece of memory with a pattern in each of its pages and in its last byte.
class Piece
{
public:
  Piece(std::size_t size, unsigned char mark) : _bytes(size), _mark(mark)
  {
    // Fresh memory of a vector is zero.
    for (std::size_t at = 0; at < size; at += 4096)
      {
        if (_bytes[at])
          throw std::logic_error("a new vector is not zero");
        _bytes[at] = mark;
      }
    _bytes[size - 1] = mark;
  }

  void grow(std::size_t more)
  { _bytes.resize(_bytes.size() + more, _mark); }

  std::size_t check() const
  {
    for (std::size_t at = 0; at < _bytes.size(); at += 4096)
      if (_bytes[at] != _mark)
        throw std::logic_error("a vector's contents were lost");
    if (_bytes.back() != _mark)
      throw std::logic_error("a vector's end was lost");
    return _bytes.size();
  }

private:
  std::vector<unsigned char> _bytes;
  unsigned char _mark;
};

} // namespace

std::uint64_t
grow_and_free(std::uint64_t seed, unsigned rounds)
{
  Random random(seed);
  Sum sum;
  std::vector<std::unique_ptr<Piece>> pieces(12);
  std::map<std::string, std::string> names;

  for (unsigned round = 0; round < rounds; ++round)
    {
      auto &piece = pieces[random.below(pieces.size())];
      unsigned char mark = 1 + random.below(255);
      if (!piece)
        {
          // Few are large.
          std::size_t size = 1 + random.below(random.below(8) ? 30000 : 1 << 20);
          piece = std::make_unique<Piece>(size, mark);
        }
      else if (random.below(3) == 0)
        piece->grow(1 + random.below(50000));
      else
        {
          sum.add(piece->check());
          piece.reset();
        }

      std::string name = "name-" + std::to_string(random.below(200));
      auto found = names.find(name);
      if (found == names.end())
        names.emplace(name, std::string(random.below(2000), 'a' + random.below(26)));
      else
        {
          for (char c : found->second)
            if (c != found->second[0])
              throw std::logic_error("a string's contents were lost");
          sum.add(found->second.size());
          names.erase(found);
        }
    }
  for (auto const &[name, text] : names)
    {
      sum.add(name.size());
      sum.add(text.size());
    }
  for (auto const &piece : pieces)
    if (piece)
      sum.add(piece->check());
  return sum.value();
}
