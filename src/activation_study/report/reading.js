"use strict";
// Finding the way: the contents as a menu that closes, where the reader is, all of it on paper, a text to copy.
(() => {
  const contents = document.querySelector("nav details");
  const links = new Map([...contents.querySelectorAll("li a")].map((link) => [link.hash.slice(1), link]));

  contents.addEventListener("click", (event) => { if (event.target.closest("a")) contents.open = false; });
  contents.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !contents.open) return;
    contents.open = false;
    contents.querySelector("summary").focus();
  });

  function here(link) {
    for (const one of links.values()) one.removeAttribute("aria-current");
    link.setAttribute("aria-current", "location");
    const list = contents.parentElement;
    const [top, bottom] = [link.offsetTop, link.offsetTop + link.offsetHeight];
    if (top < list.scrollTop || bottom > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
  }

  // The section that crosses a line in the upper part of the window is the one that is read.
  const watch = new IntersectionObserver((seen) => {
    for (const one of seen) if (one.isIntersecting) here(links.get(one.target.id));
  }, { rootMargin: "-20% 0px -79% 0px" });
  for (const id of links.keys()) watch.observe(document.getElementById(id));

  document.querySelector("nav a[href='#everything']")?.addEventListener("click", () => setTimeout(() => print()));

  for (const text of document.querySelectorAll(".verbatim")) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "save", textContent: "Copy" });
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(text); // for where the clipboard is closed to the page
      try { await navigator.clipboard.writeText(text.textContent); button.textContent = "Copied"; } catch { /* selected */ }
    });
    text.after(button);
  }
})();
