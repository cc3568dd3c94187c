// Make a film of a walk: a GIF, or WebM (MP4 where the browser makes no WebM).

import { createGif } from "./gif.js";
import { filmMark } from "./mark.js";
import { draw, rgba } from "./pixels.js";

// pixels that small frames are enlarged to, by a whole number
const SIDE = 512;
const GIF_SIDE = 256; // it compresses little
const TYPES = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const BATCH = 32;
const MEMORY = 2 ** 30; // bytes of frames

// Return the type of film that this browser makes, or undefined.
export function filmType() {
  return globalThis.MediaRecorder && TYPES.find((type) => MediaRecorder.isTypeSupported(type));
}

// Return the reason why there can be no film of this walk, or "".
export function filmProblem(walk, info) {
  const bytes = walk.length * info.size[0] * info.size[1] * info.channels * (info.bits / 8);
  if (bytes <= MEMORY) return "";
  return `${walk.length.toLocaleString("en")} frames are too many for a browser's memory: use gantool morph, below`;
}

// Return a promise of a film in `filmType()`, a Blob. `compute` returns a promise of images, `told(share)` gets what is
// done, from 0 to 1; `signal` aborts. A recorder takes real time, so all frames are computed before.
export async function record(walk, info, fps, compute, told, signal) {
  const frames = [];
  for await (const frame of computed(walk, info, compute, signal)) {
    frames.push(frame);
    told(frames.length / walk.length / 2);
  }
  const [canvas, show] = stage(info);
  const stream = canvas.captureStream(fps);
  const recorder = new MediaRecorder(stream, { mimeType: filmType(), videoBitsPerSecond: 8e6 });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const ended = new Promise((resolve) => (recorder.onstop = resolve));
  show(frames[0]);
  recorder.start();
  try {
    const start = performance.now();
    for (let number = 0; number < frames.length; number++) {
      signal.throwIfAborted();
      show(frames[number]);
      told(0.5 + number / frames.length / 2);
      await until(start + ((number + 1) * 1000) / fps);
    }
  } finally {
    recorder.stop();
    await ended;
    stream.getTracks().forEach((track) => track.stop());
  }
  return new Blob(parts, { type: recorder.mimeType });
}

// Return a promise of a GIF, a Blob; the parameters are those of `record`.
export async function gif(walk, info, fps, compute, told, signal) {
  const [height, width] = info.size;
  const film = createGif(width, height, enlargement(info, GIF_SIDE), fps, filmMark(walk.seeds, info, walk.settings));
  let done = 0;
  for await (const frame of computed(walk, info, compute, signal)) {
    await until(0); // the page goes on
    signal.throwIfAborted();
    film.add(rgba(frame, info));
    told(++done / walk.length);
  }
  return film.blob();
}

// Yield the levels of each frame.
async function* computed(walk, info, compute, signal) {
  const values = info.size[0] * info.size[1] * info.channels;
  for (let start = 0; start < walk.length; start += BATCH) {
    signal.throwIfAborted();
    const count = Math.min(BATCH, walk.length - start);
    const { z, labels } = walk.at(Array.from({ length: count }, (_, n) => start + n));
    const levels = await compute(z, labels, count);
    for (let n = 0; n < count; n++) yield levels.slice(n * values, (n + 1) * values);
  }
}

// A canvas of even sides, which video wants, and a function that shows an image on it, over white.
function stage(info) {
  const [height, width] = info.size;
  const scale = enlargement(info, SIDE);
  const even = (side) => side * scale + ((side * scale) % 2);
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [even(width), even(height)];
  const small = document.createElement("canvas");
  const context = canvas.getContext("2d");
  return [
    canvas,
    (levels) => {
      draw(small, levels, info);
      context.fillStyle = "#fff";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    },
  ];
}

const enlargement = (info, side) => Math.max(1, Math.floor(side / Math.max(...info.size)));
const until = (time) => new Promise((resolve) => setTimeout(resolve, Math.max(0, time - performance.now())));
