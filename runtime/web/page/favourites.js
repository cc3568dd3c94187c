// The favourites: their images, their seeds as --seeds takes them, and a link that shares them.

import { copy } from "./files.js";
import { draw } from "./pixels.js";
import { parseSeeds, seedText, seedsText } from "./seeds.js";

const SHOWN = 60; // images; the text has all seeds
const byId = (id) => document.getElementById(id);

// `open(seed)` shows one large, and `say(text)` tells a person what happened.
export function createFavourites(info, images, state, open, say, failed) {
  const list = byId("favourites");
  const field = byId("favourite-seeds");
  let canvases = new Map(); // seed -> where its image is shown
  let round = 0; // an older one must not go on

  function show() {
    const seeds = state.favourites();
    field.value = seedsText(seeds);
    byId("favourite-problem").textContent = "";
    byId("no-favourites").hidden = seeds.length > 0;
    for (const id of ["copy-seeds", "clear"]) byId(id).disabled = !seeds.length;
    const tiles = seeds.slice(0, SHOWN).map((seed) => [seed, ...tile(seed)]);
    list.replaceChildren(...tiles.map(([, item]) => item));
    canvases = new Map(tiles.map(([seed, , canvas]) => [seed, canvas]));
    paint();
  }

  // The images stay until their new ones come.
  async function paint() {
    const now = ++round;
    const seeds = state.favourites();
    byId("command").textContent = seeds.length ? state.command("generate", seeds) + state.beyond("generate") : "";
    try {
      for (const [seed, canvas] of canvases) {
        const levels = await images.ask(seed, () => now === round);
        if (now !== round) return;
        draw(canvas, levels, info);
      }
    } catch (error) {
      failed(error);
    }
  }

  function tile(seed) {
    const item = document.createElement("li");
    const button = item.appendChild(document.createElement("button"));
    const canvas = button.appendChild(document.createElement("canvas"));
    [canvas.height, canvas.width] = info.size;
    canvas.className = "pixels checkerboard";
    button.title = `Seed ${seedText(seed)}`;
    button.setAttribute("aria-label", `Favourite, seed ${seedText(seed)}`);
    button.addEventListener("click", () => open(seed));
    return [item, canvas];
  }

  async function copied(text, what) {
    say((await copy(text)) ? `${what} copied` : `This browser does not let a page copy: ${text}`);
  }

  field.addEventListener("change", () => {
    try {
      state.setFavourites(field.value.trim() ? parseSeeds(field.value) : []);
    } catch (error) {
      byId("favourite-problem").textContent = error.message;
    }
  });
  byId("copy-seeds").addEventListener("click", () => copied(seedsText(state.favourites()), "Seeds"));
  byId("copy-link").addEventListener("click", () => copied(state.link(), "Link"));
  byId("clear").addEventListener("click", () => state.setFavourites([]));
  state.on("favourites", show);
  state.on("settings", paint);
  show();
}
