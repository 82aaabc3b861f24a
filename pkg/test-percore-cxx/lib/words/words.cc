/*
 * The library that is linked: it throws types that the program catches, has a variable for each thread, and
 * allocates what the program frees.
 */
#include "words.h"

#include <stdexcept>

namespace {

thread_local unsigned long calls = 0;

} // namespace

namespace Test {

unsigned long
calls_of_thread()
{ return calls; }

std::vector<std::string>
split(std::string const &text)
{
  ++calls;
  std::vector<std::string> words;
  std::string word;
  for (char c : text + " ")
    if (c != ' ')
      word += c;
    else if (!word.empty())
      {
        words.push_back(word);
        word.clear();
      }
  return words;
}

unsigned long
number(std::string const &text)
{
  ++calls;
  unsigned long value = 0;
  if (text.empty())
    throw std::invalid_argument("no digits");
  for (std::size_t at = 0; at < text.size(); ++at)
    {
      if (text[at] < '0' || text[at] > '9')
        throw Bad_digit(text, at);
      value = value * 10 + (text[at] - '0');
    }
  return value;
}

Bad_digit::~Bad_digit() = default;

} // namespace Test
