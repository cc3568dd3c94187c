// The dialog of walks: it plays them, goes to any frame, and saves a film.

import { save } from "./files.js";
import { filmProblem, filmType, gif, record } from "./film.js";
import { fit } from "./fit.js";
import { draw } from "./pixels.js";
import { parseSeeds, seedsText } from "./seeds.js";
import { createWalk } from "./walk.js";

const FPS = 30; // as `gantool morph` has it
const byId = (id) => document.getElementById(id);

// `failed(error)` is called for an error of the engine.
export function createPlayer(info, images, state, failed) {
  const dialog = byId("walk");
  const canvas = byId("walk-image");
  const place = byId("walk-place");
  let walk = null;
  let playing = 0; // number of the play that goes on; 0: none
  let plays = 0;
  let film = null; // AbortController while one is made
  let shown = 0; // frames that were asked for: an old one must not be drawn over a newer one
  fit(canvas, info, 0.45);
  if (!filmType()) byId("walk-save").hidden = true;

  const options = () => ({
    frames: Math.min(1000, Math.max(1, Math.round(Number(byId("walk-frames").value)) || 60)),
    loop: byId("walk-loop").checked,
    ease: byId("walk-ease").checked,
  });

  // Read the fields. Return whether they are a walk.
  function plan() {
    const field = byId("walk-seeds");
    try {
      const seeds = parseSeeds(field.value);
      if (seeds.length < 2) throw new Error("a walk needs two seeds or more, as in 1,5,9");
      walk = createWalk(seeds, info, state.settings(), options());
      field.setCustomValidity("");
      byId("walk-problem").textContent = byId("walk-said").textContent = "";
      byId("walk-command").textContent = commandOf(seeds);
    } catch (error) {
      walk = null;
      field.setCustomValidity(error.message);
      byId("walk-problem").textContent = error.message;
    }
    for (const id of ["walk-play", "walk-save", "walk-gif", "walk-place"]) byId(id).disabled = !walk;
    place.max = walk ? walk.length - 1 : 0;
    if (walk) show(Number(place.value));
    return walk !== null;
  }

  function commandOf(seeds) {
    const { frames, loop, ease } = options();
    const flags = `${frames === 60 ? "" : ` --frames ${frames}`}${loop ? " --loop" : ""}${ease ? " --ease" : ""}`;
    return `${state.command("morph", seeds)}${flags}${state.beyond("morph")}`;
  }

  async function show(frame) {
    const number = ++shown;
    const { length } = walk;
    const now = Math.min(frame, length - 1);
    const { z, labels } = walk.at([now]);
    try {
      const levels = await images.compute(z, labels, 1, () => number === shown);
      if (number !== shown) return;
      draw(canvas, levels, info);
      place.value = now;
      place.setAttribute("aria-valuetext", `frame ${now + 1} of ${length}`);
    } catch (error) {
      pause();
      failed(error);
    }
  }

  async function play() {
    if (!walk) return;
    const mine = (playing = ++plays); // a pause and another play may come while a frame is computed
    byId("walk-play").textContent = "Pause";
    const { loop } = options();
    let frame = Number(place.value);
    if (frame >= walk.length - 1) frame = 0;
    let before = await new Promise(requestAnimationFrame); // not performance.now(): a frame's time may be before it
    // An engine that is slower than the film leaves frames out.
    while (playing === mine) {
      await show(Math.floor(frame));
      const now = await new Promise(requestAnimationFrame);
      frame += ((now - before) * FPS) / 1000;
      before = now;
      if (playing === mine && frame > walk.length - 1) {
        if (!loop) break;
        frame %= walk.length;
      }
    }
    if (playing !== mine) return;
    await show(walk.length - 1);
    if (playing === mine) pause();
  }

  function pause() {
    playing = 0;
    byId("walk-play").textContent = "Play";
  }

  // `make` is record or gif. While a film is made, either button stops it.
  async function saveFilm(button, make) {
    pause();
    if (film) return film.abort();
    if ((byId("walk-problem").textContent = filmProblem(walk, info))) return;
    film = new AbortController();
    const label = button.textContent;
    const told = (share) => (button.textContent = `Stop (${Math.round(100 * share)} %)`);
    try {
      const made = await make(walk, info, FPS, images.compute, told, film.signal);
      save(made, `walk.${made.type.match(/mp4|gif/)?.[0] ?? "webm"}`);
    } catch (error) {
      if (error.name !== "AbortError") failed(error);
    } finally {
      film = null;
      button.textContent = label;
    }
  }

  byId("walk-play").addEventListener("click", () => (playing ? pause() : play()));
  byId("walk-save").addEventListener("click", (event) => saveFilm(event.currentTarget, record));
  byId("walk-gif").addEventListener("click", (event) => saveFilm(event.currentTarget, gif));
  place.addEventListener("input", () => {
    pause();
    show(Number(place.value));
  });
  for (const id of ["walk-seeds", "walk-frames", "walk-loop", "walk-ease"]) {
    byId(id).addEventListener("change", () => {
      pause();
      plan();
    });
  }
  state.on("settings", () => {
    pause();
    if (dialog.open) plan();
  });
  byId("walk-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    pause();
    film?.abort();
  });

  return {
    open() {
      const chosen = state.favourites();
      if (chosen.length > 1) byId("walk-seeds").value = seedsText(chosen);
      place.value = 0;
      dialog.showModal();
      plan();
      byId("walk-play").focus();
    },
  };
}
