// A blind comparison: pairs in an order that nobody knows, and a choice for each.

import { $, button, element } from "/static/common.js";
import { sample } from "/static/samples.js";

const coin = () => crypto.getRandomValues(new Uint8Array(1))[0] & 1;

/** Shows pairs one by one in #samples; `done` gets the counts and how many pairs there were. */
export function startBlind(pairs, done) {
  const counts = { candidate: 0, champion: 0, tie: 0 };
  let place = 0;

  function choose(side) {
    counts[side] += 1;
    place += 1;
    if (place === pairs.length) done(counts, place);
    else show();
  }

  function show() {
    $("#tally").textContent = `Pair ${place + 1} of ${pairs.length}: which is better?`;
    const sides = coin() ? ["candidate", "champion"] : ["champion", "candidate"];
    const row = element("div", undefined, "pair blind");
    sides.forEach((side, at) => {
      const card = sample(pairs[place][side]);
      card.prepend(element("span", "AB"[at], "side"));
      card.append(button(`${"AB"[at]} is better`, () => choose(side)));
      row.append(card);
    });
    $("#samples").replaceChildren(row, button("Alike", () => choose("tie")));
    // The buttons are new each time; the keyboard stays where it was.
    row.querySelector("button").focus({ preventScroll: true });
  }

  show();
}
