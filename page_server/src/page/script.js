// Shows what is new every two seconds, without the page being loaded again. Whatever comes is escaped by the server.
'use strict';

const PAUSE_MS = 2000;
const PATIENCE_MS = 5000;
const freshness = document.getElementById('freshness');
const shown = new Map();

async function refresh() {
  try {
    const answer = await fetch('/status.json', { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { time, pieces } = await answer.json();
    for (const [id, markup] of Object.entries(pieces)) {
      const place = document.getElementById(id);
      // What is as it was stays: a reader's place in a table, and silence for who listens to the page.
      if (place && shown.get(id) !== markup) {
        place.innerHTML = markup;
        shown.set(id, markup);
      }
    }
    freshness.textContent = `As of ${time}`;
    freshness.className = '';
  } catch (error) {
    if (!freshness.className) {
      freshness.textContent += ' – there is no answer now; what is shown is old';
      freshness.className = 'trouble';
    }
  }
  setTimeout(refresh, PAUSE_MS);
}

refresh();
