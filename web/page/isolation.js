// Cross-origin isolation, which browsers require for threads. Servers grant it with headers; where they cannot, as on
// GitHub Pages, a service worker adds these.

import { isSingleFile } from "./files.js";

/** The mark, for this tab, of a page that was loaded again to be isolated. */
const TRIED = "playable-video.isolation";

/**
 * Isolate the page if it is not, and if a service worker can: not in a file from disk, nor in some private windows.
 *
 * @returns {Promise<boolean>} whether the page is about to be loaded again, isolated.
 */
export async function isolate() {
  try {
    if (globalThis.crossOriginIsolated) {
      sessionStorage.removeItem(TRIED);
      return false;
    }
    if (isSingleFile() || !location.protocol.startsWith("http") || sessionStorage.getItem(TRIED)) return false;
    sessionStorage.setItem(TRIED, "once");
    await navigator.serviceWorker.register("service_worker.js");
    await navigator.serviceWorker.ready;
    location.reload();
    return true;
  } catch {
    return false; // without storage or service workers it runs with one thread
  }
}
