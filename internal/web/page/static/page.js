// Everything here works without this file; it only saves steps.
(() => {
  const each = (selector, f, root = document) => root.querySelectorAll(selector).forEach(f);

  const copy = async (button) => {
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch { // browsers have no clipboard for pages that came without TLS
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return; // what is selected can be copied by hand
      getSelection().removeAllRanges();
    }
    const label = button.querySelector("span"), said = label.textContent;
    label.textContent = aloud.textContent = button.dataset.copied;
    setTimeout(() => { label.textContent = said; aloud.textContent = ""; }, 2000);
  };

  // What a page says to who does not see what has changed.
  const aloud = document.createElement("div");
  aloud.className = "visually-hidden";
  aloud.setAttribute("role", "status");
  document.body.append(aloud);

  const tree = (root) => {
    const search = root.querySelector("[data-tree-search]"), groups = [...root.querySelectorAll(".branch")];
    root.querySelector(".tools").hidden = false;
    search.addEventListener("input", () => {
      const words = search.value.trim().toLowerCase();
      for (const g of groups) {
        let found = 0;
        each("li", (li) => { li.hidden = words && !li.textContent.toLowerCase().includes(words); found += !li.hidden; }, g);
        g.hidden = words && !found;
        if (words) g.querySelector("details").open = found > 0;
      }
    });
    const total = root.querySelector("[data-tree-count]");
    const count = (where, items) => {
      where.textContent = root.dataset.tree.replace("{n}", items.filter((i) => i.checked).length).replace("{all}", items.length);
    };
    for (const g of groups) {
      const all = g.querySelector("[data-tree-group]"), items = [...g.querySelectorAll("li input")];
      all.hidden = false; // one that stands for no value of its own does nothing without this
      const look = () => {
        const on = items.filter((i) => i.checked).length;
        all.checked = on === items.length;
        all.indeterminate = on > 0 && on < items.length;
        count(g.querySelector("[data-tree-part]"), items);
        count(total, [...root.querySelectorAll("li input")]);
      };
      all.addEventListener("change", () => { for (const i of items) i.checked = all.checked; look(); });
      g.addEventListener("change", (e) => { if (e.target !== all) look(); });
      look();
    }
  };

  // A part of the page that a form's fields decide is made anew by the server while they are typed.
  const live = (() => {
    const timers = {}, running = {}; // by part
    return (form, id, part = id, wait = 250) => {
      clearTimeout(timers[id]);
      timers[id] = setTimeout(async () => {
        running[id]?.abort();
        running[id] = new AbortController();
        const body = new URLSearchParams(new FormData(form));
        body.set("part", part);
        try {
          const answer = await fetch(form.action, { method: "POST", body, signal: running[id].signal, headers: { "X-Part": id } });
          const text = answer.ok && await answer.text(), made = text && swap(id, text);
          if (made?.dataset.also) swap(made.dataset.also, text);
          if (made && wait === 0) (made.querySelector("[data-fresh] :is(input, select)") ?? [...made.querySelectorAll("input, button")].findLast((x) => x.name === "transformation" || x.value === id || x.value === part))?.focus();
        } catch { /* the next keystroke, or the form itself, asks again */ }
      }, wait);
    };
  })();

  const swap = (id, text) => {
    const made = new DOMParser().parseFromString(text, "text/html").getElementById(id), old = document.getElementById(id);
    if (!made || !old) return null;
    const open = [...old.querySelectorAll("details")].map((d) => d.open), chosen = [...old.querySelectorAll("input[type=radio]:checked")].map((i) => [i.name, i.value]), at = old.contains(document.activeElement) && document.activeElement;
    if (old.dataset.at) made.dataset.at = old.dataset.at;
    old.replaceWith(made);
    [...made.querySelectorAll("details")].forEach((d, i) => { if (open[i]) d.open = true; });
    for (const [name, value] of chosen) made.querySelectorAll("input[type=radio]").forEach((i) => { if (i.name === name && i.value === value) i.checked = true; });
    enhance(made);
    if (at.id && document.getElementById(at.id)) document.getElementById(at.id).focus();
    else if (at) [...made.querySelectorAll(at.tagName)].find((x) => x.href === at.href && x.textContent === at.textContent)?.focus();
    return made;
  };

  // What somebody types or selects is not taken from under their hands.
  const busy = (part) => document.hidden || !getSelection().isCollapsed || [...part.querySelectorAll("input, select")].some((i) => i === document.activeElement || (i.defaultValue ?? i.value) !== i.value);

  // A part that changes by itself is asked for again as long as it says so, and the page's sentence with it.
  const watch = (part) => setTimeout(async () => {
    if (!part.isConnected) return;
    if (busy(part)) return watch(part);
    let next = part;
    try {
      const answer = await fetch(part.dataset.at ?? location.href, { headers: { "X-Part": part.id }, redirect: "manual" });
      // The browser goes there itself: what that page has to say is said once.
      if (answer.type === "opaqueredirect") return location.assign(part.dataset.at ?? location.href);
      const text = answer.ok && await answer.text();
      if (text) next = swap(part.id, text) ?? (part.dataset.at && part);
      if (text && !part.dataset.at) swap("says", text);
      // What has ended is another page, mostly without that part: its title and sentence say what came of it.
      if (text && !part.dataset.at && !next?.dataset.watch) {
        swap("main", text);
        document.title = new DOMParser().parseFromString(text, "text/html").title;
      }
    } catch { /* the server is away for a moment */ }
    if (next === part) watch(part);
  }, Number(part.dataset.watch) * 1000);

  // The browser knows its time zone; the server does not.
  const zone = (button) => {
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone, input = document.getElementById(button.dataset.zone);
    if (!here || here === (input.value || input.placeholder)) return;
    button.textContent = button.textContent.replace("{zone}", here);
    button.hidden = false;
    button.addEventListener("click", () => { input.value = here; button.hidden = true; input.focus(); });
  };

  // A test of what is typed shows its steps beside the form, which stays as it is, its secret too.
  const test = (button) => {
    const form = button.form, place = document.getElementById(button.dataset.test);
    form.addEventListener("input", () => place.replaceChildren());
    button.addEventListener("click", async (e) => {
      e.preventDefault();
      const body = new URLSearchParams(new FormData(form));
      body.set(button.name, button.value);
      button.disabled = true;
      let made;
      try {
        const answer = await fetch(form.action, { method: "POST", body });
        made = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("check");
        if (made) made.dataset.at = answer.url;
      } catch { /* the form itself asks again */ }
      button.disabled = false;
      if (!made) return form.requestSubmit(button);
      each(":scope > .banner, .field > .error", (old) => old.remove(), form);
      each("[aria-invalid]", (i) => i.removeAttribute("aria-invalid"), form);
      place.replaceChildren(made);
      enhance(made);
      made.scrollIntoView({ block: "nearest" });
    });
  };

  const enhance = (root) => {
    each("[data-copy]", (b) => { b.hidden = false; b.addEventListener("click", () => copy(b)); }, root);
    each("[data-tree]", tree, root);
    each("[data-live]", (i) => i.addEventListener("input", () => live(i.form, i.dataset.live)), root);
    each("button[name=part]", (b) => b.addEventListener("click", (e) => {
      const id = b.value.split(".")[0];
      if (!document.getElementById(id)) return; // it leads to another page
      e.preventDefault();
      live(b.form, id, b.value, 0);
    }), root);
    each("[data-submit]", (i) => i.addEventListener("change", () => i.form.requestSubmit()), root);
    each("[data-zone]", zone, root);
    each("[data-watch]", watch, root);
    each("[data-test]", test, root);
    if (root.dataset?.watch) watch(root);
  };

  document.addEventListener("click", (e) => each("details[data-menu][open]", (m) => { if (!m.contains(e.target)) m.open = false; }));
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    each("details[data-menu][open]", (m) => { m.open = false; m.querySelector("summary").focus(); });
  });
  // What was sent is not sent twice.
  document.addEventListener("submit", (e) => {
    if (e.target.dataset.sent) return e.preventDefault();
    e.target.dataset.sent = "1";
  });
  // Where the tabs do not fit, the one of this page is in sight.
  each(".tabs [aria-current]", (a) => { const row = a.closest("ul"); row.scrollLeft = a.offsetLeft - row.offsetLeft - 16; });
  // A page that comes back as it was left is another form: to send it again is meant.
  addEventListener("pageshow", (e) => {
    each("form[data-sent]", (f) => { delete f.dataset.sent; });
    if (e.persisted) each("input[name=once]", (i) => { i.value += "+"; });
  });
  enhance(document);
  // A form that comes back begins with what was wrong.
  each("form > .banner.bad", (b) => { b.tabIndex = -1; b.focus(); });
})();
