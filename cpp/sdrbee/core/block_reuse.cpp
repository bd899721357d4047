#include "sdrbee/core/block_reuse.h"

#include <c10/core/CPUAllocator.h>

#include <vector>

#include "sdrbee/core/heap.h"

namespace sdrbee {
namespace {

struct Block {
  void* begin;
  size_t bytes;
};

thread_local int scopes = 0;
thread_local int scopes_for_short = 0;
thread_local std::vector<Block> kept;

void free_block(void* block) { c10::GetDefaultCPUAllocator()->raw_deleter()(block); }

void keep_or_free(void* block) {
  const size_t bytes = scopes > 0 && block != nullptr ? heap_block_bytes(block) : 0;
  if (bytes < BlockReuse::kLarge) return free_block(block);
  if (kept.size() == BlockReuse::kMostBlocks) {
    free_block(kept.front().begin);
    kept.erase(kept.begin());
  }
  kept.push_back({block, bytes});
}

/// The smallest kept block that holds `bytes` and, unless for short, not much more; null when there
/// is none.
void* take(size_t bytes) {
  const auto fits = [&](const Block& one) {
    return one.bytes >= bytes && (scopes_for_short > 0 || one.bytes - bytes <= bytes / 8);
  };
  auto best = kept.end();
  for (auto one = kept.begin(); one != kept.end(); ++one)
    if (fits(*one) && (best == kept.end() || one->bytes < best->bytes)) best = one;
  if (best == kept.end()) return nullptr;
  void* const block = best->begin;
  kept.erase(best);
  return block;
}

/// libtorch's own allocator, with the kept blocks before it.
class ReusingAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    void* block = scopes > 0 && bytes >= BlockReuse::kLarge ? take(bytes) : nullptr;
    if (block == nullptr) block = c10::GetDefaultCPUAllocator()->raw_allocate(bytes);
    return {block, block, &keep_or_free, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &keep_or_free; }
  void copy_data(void* target, const void* source, size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }
};

ReusingAllocator reusing_allocator;
// While libraries are loaded: libtorch wants its allocators set before threads use them.
const bool registered = [] {
  c10::SetCPUAllocator(&reusing_allocator);
  return true;
}();

}  // namespace

BlockReuse::BlockReuse() {
  kept.reserve(kMostBlocks);  // so that giving a block back can't fail
  ++scopes;
}

BlockReuse::~BlockReuse() {
  if (--scopes > 0) return;
  for (const Block& one : kept) free_block(one.begin);
  kept.clear();
}

BlockReuse::ForShort::ForShort() { ++scopes_for_short; }
BlockReuse::ForShort::~ForShort() { --scopes_for_short; }

}  // namespace sdrbee
