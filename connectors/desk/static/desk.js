// What pages can do without: tell of new documents, suggest agencies.
"use strict";

const EVERY_MS = 15000;
const before = Number(document.body.dataset.unread);
const newer = document.getElementById("newer");

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/unread");
    if (answer.ok && (await answer.json()) > before) newer.hidden = false;
  } catch {
    // The desk was stopped; the next page says so.
  }
}
setInterval(look, EVERY_MS);

const suggest = document.getElementById("suggest");
if (suggest) {
  const list = document.getElementById("agencies");
  const chosen = document.getElementById("recipients");
  suggest.parentElement.hidden = false;
  let asked = "";
  suggest.addEventListener("input", async () => {
    const text = (asked = suggest.value.trim());
    if (text.length < 2) return;
    const answer = await fetch("/agencies?find=" + encodeURIComponent(text));
    if (!answer.ok || text !== asked) return;
    list.replaceChildren(
      ...(await answer.json()).map((one) => {
        const option = document.createElement("option");
        option.value = one.code + " " + one.name;
        return option;
      })
    );
  });
  const add = () => {
    const text = suggest.value.trim();
    if (!text) return;
    chosen.value = (chosen.value.trimEnd() + "\n" + text).trimStart();
    suggest.value = "";
    suggest.focus();
  };
  document.getElementById("add").addEventListener("click", add);
  suggest.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      add();
    }
  });
}
