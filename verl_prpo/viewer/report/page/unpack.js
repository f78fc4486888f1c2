// The data of the page: the base64 of gzipped JSON.

async function unpacked() {
  // It stands behind this script.
  if (document.readyState === "loading") {
    await new Promise((ready) => document.addEventListener("DOMContentLoaded", ready));
  }
  return JSON.parse(await unzipped(document.getElementById("data").textContent));
}

/** The text behind the base64 of its gzip. */
async function unzipped(base64) {
  const packed = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function cannotShow(error) {
  const old = typeof DecompressionStream === "undefined";
  const why = old ? "This browser is too old to open it; one from 2023 or later will." : String(error);
  document.getElementById("response").textContent = `This page cannot be shown. ${why}`;
  document.body.classList.add("reading");
  throw error;
}
