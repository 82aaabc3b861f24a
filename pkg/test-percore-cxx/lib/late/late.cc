/*
 * The library that is loaded while the program runs: reached by name only, with constructors, data of its own,
 * and exceptions that go through to the program.
 */
#include "words.h"

#include <map>

namespace {

struct Counts
{
  Counts() : total(1000) {}
  std::map<std::string, unsigned long> words;
  unsigned long total;
};

Counts counts;

} // namespace

unsigned long
late_count(char const *text)
{
  for (auto const &word : Test::split(text))
    {
      if (word[0] >= '0' && word[0] <= '9')
        Test::number(word);
      ++counts.words[word];
      ++counts.total;
    }
  return counts.total;
}
