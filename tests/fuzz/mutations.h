// Fuzzing in the ordinary test run: a fixed number of mutated inputs from a fixed seed.
//
// Each *_fuzz.cpp has one target, a function of bytes that must return or throw a typed error. With
// -DSDRBEE_LIBFUZZER and clang's -fsanitize=fuzzer the file is a libFuzzer program of that target.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace sdrbee::fuzz {

using Input = std::vector<std::byte>;
using Target = std::function<void(std::span<const std::byte>)>;

/// Calls `target` with every seed and with `count` mutations of them: flipped bits, changed,
/// removed, repeated and exchanged ranges, extreme numbers, and pieces of two seeds.
void run_mutations(const std::vector<Input>& seeds, size_t count, const Target& target);

}  // namespace sdrbee::fuzz
