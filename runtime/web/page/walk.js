// A walk through the latent space from seed to seed, frame by frame, as `gantool morph` takes it.

import { labels, latents, shiftOf, shifted, slerp } from "./latents.js";

const PLAIN = { steps: {}, latents: {} };

// `options` has frames (of a leg), loop and ease. Return the number of frames, a function that returns z and labels of
// some of them, and what was given.
export function createWalk(seeds, info, settings, options) {
  const z = latents(seeds, info, { ...PLAIN, truncation: settings.truncation });
  const rows = seeds.map((_, n) => Float64Array.from(z.subarray(n * info.latent, (n + 1) * info.latent)));
  const classes = labels(seeds, info, settings);
  const shift = shiftOf(info, settings);
  const legs = options.loop ? seeds.length : seeds.length - 1;
  const length = options.loop ? options.frames * legs : options.frames * legs + 1;

  // the seeds between which a frame lies, and how far it is, from 0 to 1
  function place(frame) {
    const leg = Math.floor(frame / options.frames);
    const part = (frame % options.frames) / options.frames;
    return [leg, (leg + 1) % seeds.length, options.ease ? (1 - Math.cos(Math.PI * part)) / 2 : part];
  }

  function at(frames) {
    const places = frames.map(place);
    const out = new Float32Array(frames.length * info.latent);
    places.forEach(([start, end, part], n) => out.set(slerp(rows[start], rows[end], part), n * info.latent));
    return { z: shifted(out, shift), labels: classesOf(places) };
  }

  // Classes change halfway; those of soft labels cross-fade.
  function classesOf(places) {
    if (!classes) return null;
    if (!info.soft_labels) return Int32Array.from(places, ([start, end, part]) => classes[part < 0.5 ? start : end]);
    const shares = new Float32Array(places.length * info.classes.length);
    places.forEach(([start, end, part], n) => {
      const row = shares.subarray(n * info.classes.length, (n + 1) * info.classes.length);
      row[classes[start]] += Math.fround(1 - part);
      row[classes[end]] += Math.fround(part);
    });
    return shares;
  }

  return { length, at, seeds, settings };
}
