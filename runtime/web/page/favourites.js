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
  let round = 0; // an older one must not go on

  async function show() {
    const seeds = state.favourites();
    const now = ++round;
    field.value = seedsText(seeds);
    byId("favourite-problem").textContent = "";
    byId("no-favourites").hidden = seeds.length > 0;
    byId("command").textContent = seeds.length ? state.command("generate", seeds) + state.beyond("generate") : "";
    for (const id of ["copy-seeds", "copy-link", "clear"]) byId(id).disabled = !seeds.length;
    const shown = seeds.slice(0, SHOWN);
    const tiles = shown.map(tile);
    list.replaceChildren(...tiles.map(([item]) => item));
    try {
      for (const [n, seed] of shown.entries()) {
        const levels = await images.ask(seed);
        if (now !== round) return;
        draw(tiles[n][1], levels, info);
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
  byId("copy-link").addEventListener("click", () => copied(location.href, "Link"));
  byId("clear").addEventListener("click", () => state.setFavourites([]));
  state.on("favourites", show);
  state.on("settings", show);
  show();
}
