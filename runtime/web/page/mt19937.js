// NumPy's RandomState: the Mersenne Twister seeded with one number, and the polar method for normal numbers.
//
// NumPy has frozen this stream for good, so a seed gives the same z here as in Python, bit by bit. Sources:
// Matsumoto and Nishimura 1998; numpy/random/src/legacy/legacy-distributions.c.

const SIZE = 624;
const MIDDLE = 397;

export class RandomState {
  constructor(seed) {
    const state = new Uint32Array(SIZE);
    state[0] = seed;
    for (let i = 1; i < SIZE; i++) {
      const previous = state[i - 1] ^ (state[i - 1] >>> 30);
      state[i] = Math.imul(previous, 1812433253) + i;
    }
    this.state = state;
    this.place = SIZE;
    this.kept = null; // the polar method makes normal numbers in pairs
  }

  // 32 random bits
  bits() {
    if (this.place === SIZE) this.twist();
    let y = this.state[this.place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  twist() {
    const { state } = this;
    for (let i = 0; i < SIZE; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % SIZE] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  // a number in [0, 1) of 53 bits
  uniform() {
    const high = this.bits() >>> 5;
    const low = this.bits() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  normal() {
    if (this.kept !== null) {
      const kept = this.kept;
      this.kept = null;
      return kept;
    }
    let x, y, square;
    do {
      x = 2 * this.uniform() - 1;
      y = 2 * this.uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt((-2 * Math.log(square)) / square);
    this.kept = factor * x;
    return factor * y;
  }

  // RandomState(seed).rand(size)
  rand(size) {
    return Float64Array.from({ length: size }, () => this.uniform());
  }

  // RandomState(seed).randn(size)
  randn(size) {
    return Float64Array.from({ length: size }, () => this.normal());
  }
}
