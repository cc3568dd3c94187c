// The grammar of --seeds, as runtime/seeds.py has it: 0,1,4-6, mixes 3*0.7+9*0.3, walks 3~9, images of walks 3~9@2of8.
//
// A seed is a number, a mix {terms: [[seed, weight]]} or a step of a walk {start, end, number, count}.

export const MAX_SEED = 2 ** 32 - 1;
const STEPS = 8; // images of a walk
const MOST_STEPS = 1e6; // images of a walk of which one is chosen
const MOST_TERMS = 8; // seeds of a mix
const LONGEST = 120; // characters of a seed in the name of a file
const MOST = 1000; // seeds of a list: a link with more would fill the page
const TERM = /^(\d{1,10})(?:[*x](-?\d{1,6}(?:\.\d{1,9})?))?$/;
const PLACE = /^(.+)@(\d{1,7})of(\d{1,7})$/;

// Return the seeds of a text. Throws an Error that says what is wrong.
export function parseSeeds(text) {
  const seeds = [];
  for (const part of text.split(",").map((each) => each.trim())) {
    seeds.push(...parsePart(part));
    if (seeds.length > MOST) throw new Error(`more than ${MOST} seeds`);
  }
  return seeds;
}

function parsePart(part) {
  if (part.includes("~")) return parseWalk(part);
  if (/[+*x]/.test(part)) return [checkedLength(parseBlend(part))];
  const match = /^(\d{1,10})(?:-(\d{1,10}))?$/.exec(part);
  if (!match) throw new Error(`“${part}” is not a seed: write whole numbers and ranges, as in 0,1,4-6`);
  const [low, high] = [checked(match[1]), checked(match[2] ?? match[1])];
  if (low > high) throw new Error(`the range ${part} runs backwards: write ${high}-${low}`);
  if (high - low >= MOST) throw new Error(`more than ${MOST} seeds in ${part}`);
  return Array.from({ length: high - low + 1 }, (_, index) => low + index);
}

function parseWalk(part) {
  const place = PLACE.exec(part);
  const ends = (place ? place[1] : part).split("~").map(parseBlend);
  if (!place) {
    return ends.slice(1).flatMap((end, leg) => {
      checkedLength({ start: ends[leg], end, number: STEPS, count: STEPS });
      const all = Array.from({ length: STEPS }, (_, step) => step + 1);
      return all.slice(leg ? 1 : 0).map((number) => ({ start: ends[leg], end, number, count: STEPS }));
    });
  }
  const [number, count] = [Number(place[2]), Number(place[3])];
  if (ends.length !== 2 || number < 1 || number > count || count < 2 || count > MOST_STEPS) {
    throw new Error(`“${part}” is not an image of a walk: write it as in 3~9@2of8`);
  }
  return [checkedLength({ start: ends[0], end: ends[1], number, count })];
}

function parseBlend(text) {
  const weights = new Map(); // a seed that occurs twice is there once, with the sum of its weights
  for (const term of text.split("+")) {
    const match = TERM.exec(term.trim());
    if (!match) throw new Error(`“${term.trim()}” is not a seed: write mixes as in 3*0.7+9*0.3`);
    const seed = checked(match[1]);
    if (Number(match[2]) > 0 && !text.includes("+")) { // 0x10 may be meant as a hexadecimal number
      throw new Error(`“${text}”: the weight of a single seed changes nothing: write ${seed}`);
    }
    weights.set(seed, Number(((weights.get(seed) ?? 0) + Number(match[2] ?? 1)).toFixed(9)));
  }
  const terms = [...weights].filter(([, weight]) => weight !== 0);
  if (!terms.length) throw new Error(`“${text}” has no weight`);
  if (terms.length > MOST_TERMS) throw new Error(`a mix of ${terms.length} seeds: at most ${MOST_TERMS} can be mixed`);
  return terms.length === 1 && terms[0][1] > 0 ? terms[0][0] : { terms };
}

function checkedLength(seed) {
  if (seedText(seed).length > LONGEST) throw new Error("a mix is too long for the name of a file: give fewer seeds, or weights of fewer digits");
  return seed;
}

function checked(text) {
  const seed = Number(text);
  if (seed > MAX_SEED) throw new Error(`${text} is above the largest seed, ${MAX_SEED}`);
  return seed;
}

// Return the text of one seed, which parseSeeds reads.
export function seedText(seed) {
  if (typeof seed === "number") return String(seed);
  if (seed.terms) return seed.terms.map(([each, weight]) => (weight === 1 ? each : `${each}*${plain(weight)}`)).join("+");
  const number = String(seed.number).padStart(String(seed.count).length, "0");
  return `${seedText(seed.start)}~${seedText(seed.end)}@${number}of${seed.count}`;
}

// Return the text of a list; neighbours are joined to ranges.
export function seedsText(seeds) {
  const parts = [];
  for (let i = 0; i < seeds.length; ) {
    let end = i + 1;
    while (end < seeds.length && typeof seeds[i] === "number" && seeds[end] === seeds[i] + end - i) end++;
    parts.push(end - i > 1 ? `${seeds[i]}-${seeds[end - 1]}` : seedText(seeds[i]));
    i = end;
  }
  return parts.join(",");
}

// Return the seed that gives a mix or a walk its class: the first one in it.
export function firstSeed(seed) {
  while (seed.start !== undefined) seed = seed.start;
  return typeof seed === "number" ? seed : seed.terms[0][0];
}

function plain(weight) {
  return weight.toFixed(9).replace(/\.?0+$/, "");
}
