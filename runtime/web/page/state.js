// What a person chose: the sliders' settings and the favourites. They are in the address, so that a link shares them.

import { parseSeeds, seedText, seedsText } from "./seeds.js";

const WRITE_MS = 200; // from a change to the address: browsers refuse, or ignore, more than some 10 changes a second
const PLAIN = () => ({ truncation: 1, label: null, steps: {}, latents: {} });

export function createState(info) {
  const state = { settings: PLAIN(), favourites: [], problem: "" };
  const listeners = { settings: [], favourites: [] };
  let writing = 0;

  function changed(what) {
    writing ||= setTimeout(write, WRITE_MS);
    listeners[what].forEach((listener) => listener());
  }

  function write() {
    clearTimeout(writing);
    writing = 0;
    history.replaceState(null, "", `#${address(state)}`);
  }

  // Take over what an address says; leave out what does not fit this generator.
  function read(hash) {
    const given = new Map(hash.replace(/^#/, "").split("&").map((pair) => split(pair, "=")));
    const seeds = unescaped(given.get("seeds") ?? "");
    const settings = PLAIN();
    settings.truncation = number(given.get("trunc"), 0, 1.5) ?? 1;
    settings.label = info.classes ? index(given.get("class"), info.classes.length) : null;
    const known = new Set(info.directions.map(({ name }) => name));
    for (const [name, value] of pairs(given.get("direction"))) if (known.has(name)) settings.steps[name] = value;
    for (const [name, value] of pairs(given.get("z"))) {
      if (index(name, info.latent) !== null) settings.latents[Number(name)] = value;
    }
    state.settings = settings;
    try {
      state.favourites = seeds ? unique(parseSeeds(seeds)) : [];
      state.problem = "";
    } catch (error) {
      state.favourites = [];
      state.problem = `The favourites in the address are not read: ${error.message}`;
    }
  }

  addEventListener("pagehide", () => writing && write());
  const placeOf = (seed) => state.favourites.findIndex((each) => seedText(each) === seedText(seed));
  read(location.hash);

  return {
    settings: () => state.settings,
    favourites: () => state.favourites,
    problem: () => state.problem,
    isFavourite: (seed) => placeOf(seed) >= 0,
    on: (what, listener) => listeners[what].push(listener),
    set(changes) {
      state.settings = { ...state.settings, ...changes };
      changed("settings");
    },
    reset() {
      state.settings = PLAIN();
      changed("settings");
    },
    toggle(seed) {
      if (placeOf(seed) >= 0) state.favourites = state.favourites.filter((each) => seedText(each) !== seedText(seed));
      else state.favourites = [...state.favourites, seed];
      changed("favourites");
    },
    setFavourites(seeds) {
      state.favourites = unique(seeds);
      changed("favourites");
    },
    // Return the address that shares all this.
    link() {
      if (writing) write();
      return location.href;
    },
    // The address changed: somebody followed another link into this page.
    follow() {
      clearTimeout(writing);
      writing = 0;
      read(location.hash);
      Object.values(listeners).flat().forEach((listener) => listener());
    },
    command: (name, seeds) => command(name, info, state.settings, seeds),
    beyond: (name) => beyond(name, state.settings),
  };
}

// Return the line of `gantool generate` or `gantool morph` that gives the same images.
function command(name, info, settings, seeds) {
  const quote = (text) => (/^[\w.,=-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const words = [`gantool ${name} --engine ${quote(info.file)}`];
  if (seeds.length) words.push(`--seeds ${quote(seedsText(seeds))}`);
  if (settings.truncation !== 1) words.push(`--trunc ${settings.truncation}`);
  if (settings.label !== null) words.push(`--class ${quote(classText(info.classes, settings.label))}`);
  if (name === "generate") {
    for (const [each, step] of moved(settings.steps)) words.push(`--direction ${quote(`${each}=${step}`)}`);
  }
  return words.join(" ");
}

// Return the name of a class, or its number if another class has the same name, upper or lower case.
function classText(names, label) {
  const same = names.filter((name) => name.toLowerCase() === names[label].toLowerCase());
  return same.length > 1 ? String(label) : names[label];
}

function address({ settings, favourites }) {
  const list = (values) => moved(values).map(([name, value]) => `${escaped(name)}:${value}`).join(",");
  const parts = { seeds: seedsText(favourites) };
  if (settings.truncation !== 1) parts.trunc = settings.truncation;
  if (settings.label !== null) parts.class = settings.label;
  if (list(settings.steps)) parts.direction = list(settings.steps);
  if (list(settings.latents)) parts.z = list(settings.latents);
  return Object.entries(parts)
    .filter(([, value]) => value !== "")
    .map((pair) => pair.join("="))
    .join("&");
}

// Return a note if the sliders have moved something that a command has no flag for.
function beyond(name, settings) {
  const all = [...moved(settings.latents), ...(name === "morph" ? moved(settings.steps) : [])];
  return all.length ? "  # without the sliders that have no flag" : "";
}

const moved = (values) => Object.entries(values).filter(([, value]) => value !== 0);
const escaped = (text) => encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);

function split(pair, separator) {
  const at = pair.lastIndexOf(separator);
  return at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

// "a:1,b:-2" -> [["a", 1], ["b", -2]]
function pairs(text) {
  if (!text) return [];
  return text
    .split(",")
    .map((pair) => split(pair, ":"))
    .map(([name, value]) => [unescaped(name), Number(value)])
    .filter(([, value]) => Number.isFinite(value) && Math.abs(value) <= 1000);
}

function number(text, least, most) {
  const value = Number(text);
  return text && Number.isFinite(value) && value >= least && value <= most ? value : null;
}

// a whole number from 0, below `count`
function index(text, count) {
  const value = number(text, 0, count - 1);
  return Number.isInteger(value) ? value : null;
}

function unique(seeds) {
  return [...new Map(seeds.map((seed) => [seedText(seed), seed])).values()];
}
