// The page: an engine, what a person chose, and the parts that show it.

import { browserEngine } from "./browser.js";
import { createControls } from "./controls.js";
import { createFavourites } from "./favourites.js";
import { createGrid } from "./grid.js";
import { createImages } from "./images.js";
import { labels, latents } from "./latents.js";
import { createLarge } from "./large.js";
import { createPlayer } from "./player.js";
import { MAX_SEED } from "./seeds.js";
import { serverEngine } from "./server.js";
import { createState } from "./state.js";

const byId = (id) => document.getElementById(id);

// Show a text where a person looks: in the dialog that is open, or below the title.
function say(text) {
  (document.querySelector("dialog[open] .said") ?? byId("status")).textContent = text;
}

function failed(error) {
  console.error(error);
  say(`It did not work: ${error.message}`);
}

async function start() {
  const engine = byId("graph") ? browserEngine() : await serverEngine(askToken);
  const { info } = engine;
  describe(info, engine.where);
  const state = createState(info);
  const grid = () => parts.grid; // the parts know each other
  const images = createImages(engine, state.settings, (seeds) => grid()?.arrived(seeds), failed);
  const parts = {};
  state.on("settings", images.forget); // before the listeners that ask for new images
  const open = (seed) => parts.large.open(seed);
  createControls(info, state);
  parts.grid = createGrid(byId("grid"), info, images, {
    open,
    favourite: state.toggle,
    isFavourite: state.isFavourite,
  });
  parts.large = createLarge(info, images, state, byId("panel"), (seed) => typeof seed === "number" && grid().activate(seed), failed);
  const player = createPlayer(info, images, state, failed);
  state.on("settings", grid().refresh);
  state.on("favourites", grid().star);
  createFavourites(info, images, state, open, say, failed);
  byId("open-walk").addEventListener("click", player.open);
  byId("jump").addEventListener("submit", (event) => {
    event.preventDefault();
    const seed = Math.min(MAX_SEED, Math.floor(Number(byId("seed").value)) || 0);
    grid().jump(seed);
    byId("grid").focus();
  });
  addEventListener("hashchange", state.follow);
  byId("panel-button").addEventListener("click", togglePanel);
  // For the console and for scripts: what every part of the page uses.
  globalThis.gantool = {
    info,
    latents: (seeds) => latents(seeds, info, state.settings()),
    images: (seeds) =>
      images.compute(latents(seeds, info, state.settings()), labels(seeds, info, state.settings()), seeds.length),
  };
  await engine.started;
  say(state.problem());
  document.body.classList.add("ready");
}

function describe(info, where) {
  const title = info.title ?? info.name;
  document.title = `${title}: images by seed`;
  byId("title").textContent = title;
  const [height, width] = info.size;
  const kind = { 1: "grey", 3: "RGB", 4: "RGBA" }[info.channels] + (info.bits === 16 ? ", 16 bits, shown in 8" : "");
  byId("about").textContent = `${info.file}: ${width}×${height} pixels, ${kind}; z has ${info.latent} numbers, ${info.seeds}. Computed ${where}.`;
  const said = [info.author && `By ${info.author}.`, info.licence && `Licence: ${info.licence}.`];
  byId("authorship").textContent = said.filter(Boolean).join(" ");
  byId("data-statement").textContent = info.data_statement ?? "";
  byId("hash").textContent = info.hash;
  if (info.models?.length > 1) {
    const select = byId("model");
    byId("model-field").hidden = false;
    info.models.forEach((name) => select.append(new Option(name, name, false, name === info.name)));
    select.addEventListener("change", () => (location.search = `?model=${encodeURIComponent(select.value)}`));
  }
}

function togglePanel() {
  const open = document.body.classList.toggle("panel-open");
  byId("panel-button").setAttribute("aria-expanded", open);
}

// Return a promise of the token that a person types.
function askToken(again) {
  const dialog = byId("token");
  byId("token-problem").textContent = again ? "The server does not take this token." : "";
  dialog.showModal();
  return new Promise((resolve) => {
    byId("token-form").onsubmit = () => resolve(byId("token-field").value);
    dialog.oncancel = (event) => event.preventDefault(); // there is nothing to show without it
  });
}

start().catch(failed);
