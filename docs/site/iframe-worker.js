// Browsers refuse workers to pages from the disk. There, run the script of a worker, that of the search, in a frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = frame.contentWindow;
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      inner.importScripts = () => {};
      const script = inner.document.createElement("script");
      this.loaded = new Promise((resolve) => (script.onload = () => resolve(inner)));
      script.src = new URL(url, location);
      inner.document.body.append(script);
    }

    async postMessage(data) {
      const inner = await this.loaded;
      inner.dispatchEvent(new MessageEvent("message", { data }));
    }
  };
}
