// The heap of the C library, which tensors on the CPU are allocated from.
#pragma once

#include <cstddef>

namespace sdrbee {

/// Gives freed memory back to the system. Worth its milliseconds between two kinds of work: what
/// one kind freed seldom fits the sizes that the next asks for, so both would stay resident.
/// Does nothing where the C library has no such function.
void give_back_freed_memory();

/// How much there is room for in a block that the heap gave; 0 where the C library can't tell.
size_t heap_block_bytes(void* block);

}  // namespace sdrbee
