// The marks of what the page saves, as runtime/provenance/marker.py makes them: XMP, which says how to make it again.
//
// `info.mark` has the record of what all images have in common, and the packet around a record, with places for the
// record and for its number. Without `info.mark`, there are no marks.

import { labels, latents } from "./latents.js";
import { seedText, seedsText } from "./seeds.js";
import { sha256 } from "./sha256.js";

const SEEDS = 200; // characters of the seeds of a film
const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };

// Return the packet of the image of a seed, a Uint8Array, or null.
export function imageMark(seed, info, settings) {
  const moved = [...Object.values(settings.steps), ...Object.values(settings.latents)].some((value) => value !== 0);
  return packet(info, {
    truncation: truncation(settings),
    seed: seedText(seed),
    z: moved ? base64(latents([seed], info, settings)) : undefined, // no seed alone makes it
    class: labels([seed], info, settings)?.[0],
  });
}

// Return the packet of a film, which is over white.
export function filmMark(seeds, info, settings) {
  const text = seedsText(seeds);
  return packet(info, {
    truncation: truncation(settings),
    background: info.channels === 4 ? "white" : undefined,
    seeds: text.length <= SEEDS ? text : `${text.slice(0, SEEDS - 4)} ...`,
    class: settings.label ?? undefined,
  });
}

const truncation = (settings) => (settings.truncation === 1 ? undefined : settings.truncation);

function packet(info, fields) {
  if (!info.mark) return null;
  const record = JSON.stringify({ ...info.mark.record, ...fields }); // without what is undefined
  const number = sha256(new TextEncoder().encode(record.slice(0, -1))).slice(0, 32); // without the brace, as in Python
  const [recordPlace, numberPlace] = info.mark.places;
  const inside = { [recordPlace]: record.replace(/[&<>]/g, (letter) => ENTITIES[letter]), [numberPlace]: number };
  const text = Array.from(info.mark.packet, (letter) => inside[letter] ?? letter).join("");
  return new TextEncoder().encode(text);
}

// The numbers as little-endian float32, which is what every browser has in memory.
function base64(z) {
  return btoa(Array.from(new Uint8Array(z.buffer), (byte) => String.fromCharCode(byte)).join(""));
}
