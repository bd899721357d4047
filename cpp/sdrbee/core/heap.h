// The heap of the C library, which tensors on the CPU are allocated from.
#pragma once

namespace sdrbee {

/// Gives freed memory back to the system. Worth its milliseconds between two kinds of work: what
/// one kind freed seldom fits the sizes that the next asks for, so both would stay resident.
/// Does nothing where the C library has no such function.
void give_back_freed_memory();

}  // namespace sdrbee
