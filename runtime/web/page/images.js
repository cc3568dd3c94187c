// Images of seeds, computed as they are wanted: one batch at a time, so that what scrolls past is never computed.

import { labels, latents } from "./latents.js";
import { seedText } from "./seeds.js";

const MEMORY = 64 * 2 ** 20; // bytes of images to keep
const BATCH_MS = 40; // a batch takes about as long as this: what comes next need not wait for longer
const MOST = 64; // images of a batch

// `settings()` returns those of the sliders; `arrived(seeds)` and `failed(error)` are called after each batch.
export function createImages(engine, settings, arrived, failed) {
  const { info } = engine;
  const values = info.size[0] * info.size[1] * info.channels; // of an image
  const most = Math.max(MOST, Math.floor(MEMORY / (values * (info.bits / 8))));
  const kept = new Map(); // text of a seed -> its levels, the least recently used first
  const asked = []; // computed before everything wanted
  let wanted = [];
  let version = 0; // of the settings
  let batch = 4;
  let busy = false;

  function get(seed) {
    const key = seedText(seed);
    const levels = kept.get(key);
    if (levels) {
      kept.delete(key);
      kept.set(key, levels);
    }
    return levels;
  }

  // Compute these seeds next, in this order, and nothing that was wanted before.
  function want(seeds) {
    wanted = seeds;
    work();
  }

  // The settings changed: no image is as it was.
  function forget() {
    version++;
    kept.clear();
  }

  // Return a promise of the levels of n images, ahead of everything that is wanted; of null if `still()` says at their
  // turn that nobody waits for them any more.
  function compute(z, classes, n, still = () => true) {
    return new Promise((resolve, reject) => {
      asked.push(async () => (still() ? engine.images(z, classes, n).then(resolve, reject) : resolve(null)));
      work();
    });
  }

  // Return a promise of the levels of one seed, ahead of everything that is wanted; of null as `compute` does.
  async function ask(seed, still) {
    const found = get(seed);
    if (found) return found;
    const before = version;
    const levels = await compute(latents([seed], info, settings()), labels([seed], info, settings()), 1, still);
    if (levels && before === version) {
      keep(seed, levels);
      arrived([seed]); // the grid may wait for it too
    }
    return levels;
  }

  async function work() {
    if (busy) return;
    busy = true;
    try {
      for (;;) {
        wanted = asked.length ? wanted : wanted.filter((seed) => !kept.has(seedText(seed)));
        if (asked.length) await asked.shift()();
        else if (wanted.length) await next(wanted.splice(0, batch));
        else break;
      }
    } catch (error) {
      wanted = [];
      failed(error);
    } finally {
      busy = false;
    }
  }

  async function next(seeds) {
    const before = version;
    const start = performance.now();
    const all = await engine.images(latents(seeds, info, settings()), labels(seeds, info, settings()), seeds.length);
    const each = (performance.now() - start) / seeds.length;
    batch = Math.max(1, Math.min(MOST, 2 * batch, Math.round(BATCH_MS / each)));
    if (before !== version) return;
    seeds.forEach((seed, n) => keep(seed, all.slice(n * values, (n + 1) * values)));
    arrived(seeds);
  }

  function keep(seed, levels) {
    kept.set(seedText(seed), levels);
    if (kept.size > most) kept.delete(kept.keys().next().value);
  }

  return { get, want, forget, ask, compute };
}
