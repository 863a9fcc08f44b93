#include "blocks.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>

#include <sys/mman.h>

namespace limn {
namespace {

constexpr size_t PAGE = 4096;

// A longer block may stand in for one if so little of it is wasted.
constexpr size_t WASTE = 8;

// So much more may wait: what is computed with a few large tensors in use, in small ones of many sizes,
// would have each of them made anew.
constexpr size_t SPARE = 64 << 20;

}  // namespace

void* Blocks::take(size_t bytes, size_t* length) {
  if (bytes > SIZE_MAX - PAGE) return nullptr;
  const size_t wanted = (bytes + PAGE - 1) / PAGE * PAGE;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_length_.lower_bound(wanted);
  if (found != by_length_.end() && found->first - wanted <= wanted / WASTE) {
    // Of several the last one: it may be in the cache still.
    const Waiting block = remove(std::prev(by_length_.upper_bound(found->first)));
    used_ += block.length;
    *length = block.length;
    return block.data;
  }
  const size_t most = std::max(most_, used_ + wanted);
  while (used_ + wanted + kept_ > most + SPARE && !waiting_.empty()) forget_oldest();
  const auto map = [&] {
    return mmap(nullptr, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  };
  void* data = map();
  for (; data == MAP_FAILED && !waiting_.empty(); data = map()) forget_oldest();
  // What was asked for and never had is no measure of what may wait.
  if (data == MAP_FAILED) return nullptr;
  used_ += wanted;
  most_ = most;
  *length = wanted;
  return data;
}

void Blocks::give(void* data, size_t length) {
  const std::lock_guard<std::mutex> lock(mutex_);
  used_ -= length;
  kept_ += length;
  waiting_.push_back({data, length});
  by_length_.emplace(length, std::prev(waiting_.end()));
}

Blocks::Waiting Blocks::remove(std::multimap<size_t, Place>::iterator entry) {
  const Waiting block = *entry->second;
  waiting_.erase(entry->second);
  by_length_.erase(entry);
  kept_ -= block.length;
  return block;
}

void Blocks::forget_oldest() {
  const Place oldest = waiting_.begin();
  auto [entry, end] = by_length_.equal_range(oldest->length);
  while (entry != end && entry->second != oldest) ++entry;
  const Waiting block = remove(entry);
  munmap(block.data, block.length);
}

}  // namespace limn
