/*
 * An ordinary C++ program: threads, exceptions, shared libraries, thread-local variables and memory that grows
 * and is freed. It knows nothing of the pagers: its last line must be the same wherever its memory comes from.
 */
#include "memory.h"
#include "words.h"

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <dlfcn.h>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

enum : unsigned { Threads = 6, Rounds = 60 };

void check(bool holds, char const *what)
{
  if (!holds)
    throw std::logic_error(what);
}

// Threads.

thread_local unsigned long own_steps = 0;
thread_local std::vector<unsigned> own_list;

/// Counts what is alive, to see that exceptions end what they leave.
struct Guard
{
  static std::atomic<int> alive;
  Guard() { ++alive; }
  ~Guard() { --alive; }
};
std::atomic<int> Guard::alive { 0 };

/// Calls itself, each time with something to end, and throws at the bottom.
unsigned long dive(unsigned depth, std::string const &text)
{
  Guard guard;
  std::string kept(depth * 10, 'x');
  if (depth == 0)
    return Test::number(text);
  return dive(depth - 1, text) + kept.size();
}

/// Where a text is no number, 1000 and the place; else the number.
unsigned long place_of_fault(std::string const &text)
{
  try
    { return dive(8, text) - 360; }
  catch (Test::Bad_digit const &bad)
    {
      check(text == bad.what(), "an exception carries its text");
      return 1000 + bad.at;
    }
}

/// All threads wait here for each other.
class Meeting
{
public:
  void wait()
  {
    std::unique_lock<std::mutex> lock(_mutex);
    if (++_here == Threads)
      _all.notify_all();
    _all.wait(lock, [this] { return _here >= Threads; });
  }

private:
  std::mutex _mutex;
  std::condition_variable _all;
  unsigned _here = 0;
};

std::uint64_t thread_work(unsigned number, Meeting *meeting)
{
  Sum sum;
  check(own_steps == 0 && own_list.empty() && Test::calls_of_thread() == 0,
        "a thread's variables are fresh");
  meeting->wait();
  for (unsigned round = 0; round < 20; ++round)
    {
      std::string text = std::to_string(number * 100 + round);
      sum.add(place_of_fault(text));
      text.insert(round % text.size(), "?");
      sum.add(place_of_fault(text));
      own_list.push_back(round);
      ++own_steps;
    }
  sum.add(grow_and_free(number + 1, Rounds));
  check(own_steps == 20 && own_list.size() == 20, "a thread's variables are its own");
  check(Test::calls_of_thread() == 40, "so are those of a library");
  return sum.value();
}

std::uint64_t threads()
{
  Meeting meeting;
  std::vector<std::uint64_t> results(Threads);
  std::vector<std::exception_ptr> faults(Threads);
  std::vector<std::thread> all;
  for (unsigned i = 0; i < Threads; ++i)
    all.emplace_back([&, i] {
      try
        { results[i] = thread_work(i, &meeting); }
      catch (...)
        { faults[i] = std::current_exception(); }
    });
  for (auto &thread : all)
    thread.join();
  Sum sum;
  for (unsigned i = 0; i < Threads; ++i)
    {
      if (faults[i])
        std::rethrow_exception(faults[i]);
      sum.add(results[i]);
    }
  check(Guard::alive == 0, "exceptions ended what they left");
  return sum.value();
}

// Exceptions.

std::uint64_t exceptions()
{
  Sum sum;
  try
    {
      std::vector<int>(3).at(5);
      check(false, "an index out of range throws");
    }
  catch (std::out_of_range const &)
    { sum.add(1); }
  try
    {
      Test::number("");
      check(false, "an empty number throws");
    }
  catch (std::exception const &error)
    { sum.add(std::string(error.what()).size()); }
  try
    {
      std::vector<char> all;
      all.reserve(all.max_size() + 1);
      check(false, "too long a vector throws");
    }
  catch (std::length_error const &)
    { sum.add(2); }
  try
    {
      try
        { throw Test::Bad_digit("again", 3); }
      catch (std::exception const &)
        { throw; }
    }
  catch (Test::Bad_digit const &bad)
    { sum.add(bad.at); }
  return sum.value();
}

// A library that is loaded while the program runs.

std::uint64_t late_library()
{
  Sum sum;
  // Stays open to the end: this dlclose unmaps a library without running its destructors, and
  // exit would run them then.
  check(dlopen("libtest-percore-cxx-late.so", RTLD_NOW), "the library is found");
  for (unsigned round = 0; round < 3; ++round)
    {
      void *library = dlopen("libtest-percore-cxx-late.so", RTLD_NOW);
      if (!library)
        throw std::runtime_error(dlerror());
      auto *count = reinterpret_cast<decltype(&late_count)>(dlsym(library, "late_count"));
      check(count, "a function is found by name");
      sum.add(count("one two 3 two"));
      try
        {
          count("four 5six");
          check(false, "a loaded library throws");
        }
      catch (Test::Bad_digit const &bad)
        { sum.add(bad.at); }
      sum.add(count("seven"));
      check(!dlsym(library, "late_nothing"), "no other function is found");
      dlclose(library);
    }
  check(!dlopen("libtest-percore-cxx-never.so", RTLD_NOW), "no other library is found");
  return sum.value();
}

} // namespace

int main()
{
  Sum all;
  try
    {
      struct { char const *name; std::uint64_t (*run)(); } const parts[] = {
        { "exceptions", exceptions },
        { "threads", threads },
        { "loaded library", late_library },
      };
      for (auto const &part : parts)
        {
          std::uint64_t sum = part.run();
          std::printf("%s: %016llx\n", part.name, static_cast<unsigned long long>(sum));
          all.add(sum);
        }
    }
  catch (std::exception const &error)
    {
      std::printf("test-percore-cxx: FAILED: %s\n", error.what());
      return 1;
    }
  std::printf("test-percore-cxx: checksum %016llx\n", static_cast<unsigned long long>(all.value()));
  return 0;
}
