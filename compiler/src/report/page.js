// Comfort only: the page is complete without it.
"use strict";
document.querySelector(".zoom").hidden = false;
const views = [...document.querySelectorAll(".view")];
const shown = () => views.find((view) => view.offsetParent !== null);
const picture = (view) => view.querySelector("svg");
const size = (svg) => svg.viewBox.baseVal;

function zoom(view, scale) {
  const svg = picture(view);
  const old = svg.width.baseVal.value / size(svg).width;
  const limited = Math.min(4, Math.max(0.02, scale));
  const middle = [view.scrollLeft + view.clientWidth / 2, view.scrollTop + view.clientHeight / 2];
  svg.setAttribute("width", size(svg).width * limited);
  svg.setAttribute("height", size(svg).height * limited);
  view.scrollLeft = (middle[0] * limited) / old - view.clientWidth / 2;
  view.scrollTop = (middle[1] * limited) / old - view.clientHeight / 2;
}

for (const button of document.querySelectorAll("[data-zoom]")) {
  button.addEventListener("click", () => {
    const view = shown();
    const svg = view && picture(view);
    if (!svg) return;
    const now = svg.width.baseVal.value / size(svg).width;
    const wanted = button.dataset.zoom;
    if (wanted === "fit") {
      zoom(view, Math.min(view.clientWidth / size(svg).width, view.clientHeight / size(svg).height));
    } else {
      zoom(view, wanted === "1" ? 1 : now * Number(wanted));
    }
  });
}

for (const view of views) {
  let from = null;
  view.addEventListener("pointerdown", (event) => {
    from = [event.clientX + view.scrollLeft, event.clientY + view.scrollTop];
  });
  view.addEventListener("pointermove", (event) => {
    if (from === null || event.buttons !== 1) return;
    view.classList.add("drag");
    view.scrollLeft = from[0] - event.clientX;
    view.scrollTop = from[1] - event.clientY;
  });
  view.addEventListener("pointerup", () => {
    from = null;
    view.classList.remove("drag");
  });
  view.addEventListener("wheel", (event) => {
    if (!event.ctrlKey || !picture(view)) return;
    event.preventDefault();
    const now = picture(view).width.baseVal.value / size(picture(view)).width;
    zoom(view, now * Math.exp(-event.deltaY / 300));
  }, { passive: false });
}

function center() {
  const view = shown();
  if (view) view.scrollLeft = (view.scrollWidth - view.clientWidth) / 2;
}
for (const radio of document.querySelectorAll("[name=fold]")) radio.addEventListener("change", center);
center();

const filter = document.getElementById("filter");
const rows = [...document.querySelectorAll("#ops tbody tr")];
filter.hidden = false;
filter.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase();
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
});
