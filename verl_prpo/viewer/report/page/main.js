// The start, and what comes from outside: the address, the size of the window.

function openFromHash() {
  const place = /^#r(\d+)$/.exec(location.hash);
  const index = place ? Number(place[1]) - 1 : -1;
  const group = data.groups[Number(/^#g(\d+)$/.exec(location.hash)?.[1]) - 1];
  if (index in responses) openResponse(index);
  else if (group) openCompare(group);
  else closeResponse();
}

document.getElementById("help-open").addEventListener("click", () => help.showModal());
document.getElementById("back").addEventListener("click", showOverview);
let typing;
document.getElementById("query").addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(() => setQuery(event.target.value), 120);
});
document.addEventListener("keydown", onKey);
addEventListener("popstate", openFromHash);
let resizing;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(drawMap, 100);
});
addEventListener("scroll", onScroll, true);

document.querySelector(".of-trust").hidden = !RELATIVE;
document.querySelector(".of-prior").hidden = RELATIVE;
document.getElementById("whose").append(toggle());
renderSort();
renderFilters();
renderList();
renderOverview();
openFromHash();
