// Large blocks of memory for tensors on the processor, kept for the next of their size.
//
// A step touches gigabytes that it gives back again. If each went to the kernel and came back as
// zeroed pages, a step took a third longer; if the C library kept them, holes between blocks of many
// sizes made the process take nearly twice what was in use. Here each is a mapping of its own, and one
// that was given back waits for the next of about its size. What is in use and what waits together
// are never more than what was once in use, and a little: when they would be, those that waited longest
// go.

#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <mutex>

namespace limn {

class Blocks {
 public:
  // From this size on a block is worth a mapping.
  static constexpr size_t LEAST = 256 << 10;

  // A block of at least so many bytes, at the beginning of a page, and its length; a null pointer when
  // the system gives none.
  void* take(size_t bytes, size_t* length);

  // Takes a block back.
  void give(void* data, size_t length);

 private:
  struct Waiting {
    void* data;
    size_t length;
  };
  using Place = std::list<Waiting>::iterator;

  Waiting remove(std::multimap<size_t, Place>::iterator entry);
  void forget_oldest();

  std::mutex mutex_;
  // The one that waits longest first.
  std::list<Waiting> waiting_;
  std::multimap<size_t, Place> by_length_;
  size_t used_ = 0;
  size_t kept_ = 0;
  size_t most_ = 0;
};

}  // namespace limn
