#pragma once

#include <cstddef>
#include <exception>
#include <string>
#include <vector>

namespace Test {

/// A text that is no number: thrown by one library, caught by the program, also through another.
class Bad_digit : public std::exception
{
public:
  Bad_digit(std::string text, std::size_t at) : text(text), at(at) {}
  ~Bad_digit() override;
  char const *what() const noexcept override { return text.c_str(); }

  std::string const text;
  std::size_t const at;
};

/// Calls of this library's functions by the thread that asks.
unsigned long calls_of_thread();

/// Words between spaces.
std::vector<std::string> split(std::string const &text);

/// A decimal number. Throws Bad_digit, and std::invalid_argument for an empty text.
unsigned long number(std::string const &text);

} // namespace Test

/// In the library that is loaded late. Counts the words of a text: 1000, and one more for each word since the
/// library was loaded. Throws Test::Bad_digit for a word of digits and others mixed.
extern "C" unsigned long late_count(char const *text);
