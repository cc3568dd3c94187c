// The slider and the button of each film; a line in the charts shows where the film is.
for (const film of document.querySelectorAll('.film')) {
  const frames = [...film.querySelectorAll('img')];
  const controls = film.querySelector('.controls');
  const [button, slider, output] = ['button', 'input', 'output'].map((name) => controls.querySelector(name));
  const still = matchMedia('(prefers-reduced-motion: reduce)');
  let timer = 0;

  const show = (at) => {
    frames.forEach((frame, index) => { frame.hidden = index !== at; });
    slider.value = at;
    output.value = frames[at].dataset.name;
    slider.setAttribute('aria-valuetext', frames[at].dataset.name);
    for (const chart of document.querySelectorAll('.chart')) {
      const [low, high, left, right] = chart.dataset.x.split(' ').map(Number);
      const share = (frames[at].dataset.place - low) / (high - low);
      const line = chart.querySelector('.now');
      line.setAttribute('visibility', share >= 0 && share <= 1 ? 'visible' : 'hidden');
      line.setAttribute('x1', left + share * (right - left));
      line.setAttribute('x2', left + share * (right - left));
    }
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = 'Play';
  };
  const next = () => {
    const at = slider.valueAsNumber + 1;
    show(Math.min(at, frames.length - 1));
    if (at >= frames.length - 1) stop();
  };
  const play = () => {
    if (slider.valueAsNumber === frames.length - 1) show(0);
    const pace = Math.min(Math.max(6000 / frames.length, 100), 600); // ms a frame: some six seconds in all
    timer = setInterval(next, still.matches ? 1000 : pace);
    button.textContent = 'Pause';
  };

  slider.addEventListener('input', () => { stop(); show(slider.valueAsNumber); });
  button.addEventListener('click', () => (timer ? stop() : play()));
  if (frames.length > 1) {
    controls.hidden = false;
    film.querySelector('figcaption').hidden = true;
    show(frames.length - 1);
  }
}
