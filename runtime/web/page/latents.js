// z of seeds, mixes and steps of walks, as runtime/latents.py makes it; then the sliders' shift, as --direction does.

import { RandomState } from "./mt19937.js";
import { firstSeed } from "./seeds.js";

const LARGEST = 2; // magnitude in a truncated z

// Return z of the seeds, a Float32Array of n·latent. `settings` has truncation, directions and latents (see below).
export function latents(seeds, info, settings) {
  const shift = shiftOf(info, settings);
  const z = new Float32Array(seeds.length * info.latent);
  seeds.forEach((seed, n) => {
    const row = mixed(seed, info);
    for (let i = 0; i < info.latent; i++) z[n * info.latent + i] = row[i] * settings.truncation;
  });
  return shifted(z, shift);
}

// Return the classes of the seeds, an Int32Array of n; null for a generator without classes.
export function labels(seeds, info, settings) {
  if (!info.classes) return null;
  return Int32Array.from(seeds, (seed) => settings.label ?? firstSeed(seed) % info.classes.length);
}

// Return what the sliders add to z: settings.steps has steps by the name of a direction, and settings.latents
// numbers by the index of a latent. In float32, step by step, because Python adds them so.
export function shiftOf(info, settings) {
  const shift = new Float32Array(info.latent);
  for (const { name, vector } of info.directions) {
    const step = Math.fround(settings.steps[name] ?? 0);
    if (step) for (let i = 0; i < shift.length; i++) shift[i] += Math.fround(step * Math.fround(vector[i]));
  }
  for (const [index, value] of Object.entries(settings.latents)) shift[index] += value;
  return shift;
}

// Add the shift to every row of z.
export function shifted(z, shift) {
  for (let i = 0; i < z.length; i++) z[i] += shift[i % shift.length];
  return z;
}

// Return the point at `part`, from 0 to 1, of the great circle from z `start` to z `end`, as runtime/latents.py does.
export function slerp(start, end, part) {
  const norms = Math.sqrt(dot(start, start)) * Math.sqrt(dot(end, end));
  const cosine = norms ? dot(start, end) / norms : 1;
  const angle = Math.acos(Math.min(1, Math.max(-1, cosine)));
  const sine = Math.sin(angle);
  const [first, second] =
    sine < 1e-6 ? [1 - part, part] : [Math.sin((1 - part) * angle) / sine, Math.sin(part * angle) / sine];
  return Float64Array.from(start, (value, i) => value * first + end[i] * second);
}

function dot(one, other) {
  let sum = 0;
  for (let i = 0; i < one.length; i++) sum += one[i] * other[i];
  return sum;
}

// The row of a seed as it is; of a mix or a step clipped to the range of what is mixed.
function mixed(seed, info) {
  if (typeof seed === "number") return row(seed, info);
  const most = { uniform: 1, truncated: LARGEST }[info.seeds];
  const z = joined(seed, info);
  return most ? z.map((value) => Math.min(most, Math.max(-most, value))) : z;
}

function joined(seed, info) {
  if (typeof seed === "number") return row(seed, info);
  if (!seed.terms) {
    return slerp(joined(seed.start, info), joined(seed.end, info), (seed.number - 1) / (seed.count - 1));
  }
  const total = new Float64Array(info.latent);
  for (const [each, weight] of seed.terms) row(each, info).forEach((value, i) => (total[i] += value * weight));
  const norm = Math.sqrt(seed.terms.reduce((sum, [, weight]) => sum + weight * weight, 0));
  return total.map((value) => value / norm);
}

function row(seed, info) {
  const stream = new RandomState(seed);
  if (info.seeds === "uniform") return stream.rand(info.latent).map((value) => 2 * value - 1);
  const z = stream.randn(info.latent);
  if (info.seeds !== "truncated") return z;
  // numbers beyond ±2 are drawn again, in their order, until there are none
  let beyond = [...z.keys()].filter((i) => Math.abs(z[i]) > LARGEST);
  while (beyond.length) {
    for (const i of beyond) z[i] = stream.normal();
    beyond = beyond.filter((i) => Math.abs(z[i]) > LARGEST);
  }
  return z;
}
