// The z of a seed, bit for bit as gantool makes it: NumPy's RandomState(seed).randn(latent), rounded to float32.
//
// Compile with -ffp-contract=off. Where the CPU has a fused multiply-add (every ARM64), g++ would use it in
// x1 * x1 + x2 * x2, and the last bits of z would differ.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

inline std::vector<float> latent_of(std::uint32_t seed, std::size_t latent) {
    std::mt19937 words(seed);  // the standard seeds it as NumPy does
    const auto uniform = [&words] {  // [0, 1), of 53 bits from two words
        const std::uint32_t high = words() >> 5;
        const std::uint32_t low = words() >> 6;
        return (high * 67108864.0 + low) / 9007199254740992.0;
    };
    std::vector<float> z;
    while (z.size() < latent) {  // Marsaglia's polar method: two numbers from a point in the unit circle
        double x1, x2, square;
        do {
            x1 = 2 * uniform() - 1;
            x2 = 2 * uniform() - 1;
            square = x1 * x1 + x2 * x2;
        } while (square >= 1 || square == 0);
        const double scale = std::sqrt(-2 * std::log(square) / square);
        z.push_back(static_cast<float>(scale * x2));  // NumPy gives the second one first
        z.push_back(static_cast<float>(scale * x1));
    }
    z.resize(latent);
    return z;
}
