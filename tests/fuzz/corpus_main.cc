// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: every file of its corpus, the empty input, and a fixed
// number of mutations (flipped bits, cuts, doubled and overwritten stretches) from a fixed seed.
// A crash or a sanitizer's report is the failure.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

// libFuzzer's name for it.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Input = std::vector<uint8_t>;

constexpr int kMutationsPerInput = 2000;
constexpr int kStepsMax = 4;  // mutations piled on one another

Input ReadInput(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(stream), {});
}

void MutateOnce(Input& input, std::mt19937_64& random) {
  if (input.empty()) {
    input.resize(random() % 64 + 1);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    return;
  }
  const size_t at = random() % input.size();
  const size_t length = random() % std::min<size_t>(input.size() - at, 16) + 1;
  const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
  const auto end = begin + static_cast<std::ptrdiff_t>(std::min(length, input.size() - at));
  switch (random() % 5) {
    case 0: *begin ^= static_cast<uint8_t>(1u << (random() % 8)); break;
    case 1: input.resize(at); break;
    case 2: input.erase(begin, end); break;
    case 3: std::fill(begin, end, random() % 2 == 0 ? 0 : 0xff); break;
    default: {
      const Input copy(begin, end);
      input.insert(begin, copy.begin(), copy.end());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<Input> inputs = {{}};
  std::error_code none;  // a target without a corpus starts from the empty input
  if (argc > 1) {
    for (const auto& entry : std::filesystem::directory_iterator(argv[1], none)) {
      inputs.push_back(ReadInput(entry.path()));
    }
  }
  std::mt19937_64 random(1);
  uint64_t runs = 0;
  for (const Input& input : inputs) {
    LLVMFuzzerTestOneInput(input.data(), input.size());
    for (int i = 0; i < kMutationsPerInput; ++i, ++runs) {
      Input mutated = input;
      for (uint64_t step = 0; step <= random() % kStepsMax; ++step) MutateOnce(mutated, random);
      LLVMFuzzerTestOneInput(mutated.data(), mutated.size());
    }
  }
  std::printf("%zu inputs, %llu mutations: no crash\n", inputs.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
