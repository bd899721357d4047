// Large blocks of memory that go from one tensor to the next without the system between them.
#pragma once

#include <cstddef>

namespace sdrbee {

/// While it exists, the large blocks that tensors on the CPU give back on this thread are kept for
/// the next tensors of about their size that this thread makes. New memory costs more than what is
/// written into it: the system fills each page with zeros first, and a virtual machine may have to
/// ask its host for it. The few blocks that are kept at the end go back.
///
/// It stands behind libtorch's allocator, which it forwards to for everything else. Scopes nest;
/// nothing is kept where the C library can't tell the size of a block.
class BlockReuse {
 public:
  BlockReuse();
  ~BlockReuse();
  BlockReuse(const BlockReuse&) = delete;
  BlockReuse& operator=(const BlockReuse&) = delete;

  /// While it exists, the thread's new tensors may lie in blocks that are much larger than they
  /// are: for tensors that soon give them back.
  class ForShort {
   public:
    ForShort();
    ~ForShort();
    ForShort(const ForShort&) = delete;
    ForShort& operator=(const ForShort&) = delete;
  };

  /// Blocks of fewer bytes are the C library's own to reuse.
  static constexpr size_t kLarge = size_t{1} << 18;

  /// How many a thread keeps; beyond it the oldest goes back.
  static constexpr size_t kMostBlocks = 8;
};

}  // namespace sdrbee
