// The tab Search: the form, the request, what is said about the answer.
import { $, counted, element, percent, problem } from './dom.js';
import { post } from './api.js';
import { go, params as address, without } from './address.js';
import { server } from './server.js';
import { fromAddress, hasRelevance, isEmpty, toAddress, toRequest } from './query.js';
import { imagesOf, keep } from './uploads.js';
import { showChips } from './chips.js';
import { appendHits, focusFirst, hitsPerScreen, shown, showHits } from './hits.js';
import { openFrom } from './opened.js';
import { showImagined } from './imagined.js';
import { startSaving } from './save.js';

const NEAREST = 6;
let query = fromAddress(new URLSearchParams());
let asked = null;
let cursor = null;
let running = new AbortController();
/** The model's weight of the grounded level. */
let ownDetails = 0.5;

/** Connects the form; called once. */
export function startSearch() {
  // On a phone the options would fill the screen.
  $('options').open = innerWidth > 600;
  $('query').addEventListener('submit', (event) => { event.preventDefault(); submit(); });
  $('filter').addEventListener('change', submit);
  $('least').addEventListener('input', labelLeast);
  $('least').addEventListener('change', submit);
  $('level').addEventListener('input', labelLevel);
  $('level').addEventListener('change', submit);
  for (const radio of $('query').elements.target) radio.addEventListener('change', submit);
  $('plus').addEventListener('click', () => addWords(1));
  $('minus').addEventListener('click', () => addWords(-1));
  $('words').addEventListener('keydown', inTheBox);
  $('choose').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => { addImages([...$('file').files]); $('file').value = ''; });
  $('more').addEventListener('click', loadMore);
  document.addEventListener('paste', (event) => addImages(imagesOf(event.clipboardData)));
  document.addEventListener('keydown', anywhere);
  startDropping();
  startSaving();
  server().then(describe).catch((error) => $('notes').replaceChildren(element('li', {}, problem(error))));
}

/** Shows what the address says. The same query is not asked again, as when only a hit is opened. */
export async function showSearch(params) {
  const next = fromAddress(params);
  const wanted = toAddress(next).toString();
  if (wanted !== asked) {
    asked = wanted;
    query = next;
    fillForm();
    await ask();
    if (wanted !== asked || $('search').hidden) return;
  }
  openFrom(address(), query);
}

/** Adds a part to the query and searches. */
export function addPart(kind, value, weight) {
  readForm();
  query.parts = query.parts.filter((part) => part.kind !== kind || part.value !== value);
  query.parts.push({ kind, value, weight });
  search();
}

function describe({ index, model }) {
  $('fields').textContent = `Fields of a filter: ${index.fields.join(', ')}`;
  $('least-label').hidden = !model?.calibrated;
  $('level-label').hidden = model?.levels !== 2;
  // What this model cannot do would be refused with every query, and no control is there to take it back.
  go(without(...(model?.calibrated ? [] : ['least']), ...(model?.levels === 2 ? [] : ['details'])), true);
  ownDetails = 1 - (model?.lambda ?? 0.5);
  showLevel();
  if (!index.captions) document.querySelector('[name=target][value=text]').disabled = true;
}

function readForm() {
  query.words = $('words').value;
  query.target = $('query').elements.target.value;
  query.filter = $('filter').value;
  query.least = Number($('least').value);
  // A level that nobody moved stays the model's own, which need not be a step of the slider.
  const details = Number($('level').value);
  query.details = details === Number(levelOf(null)) ? null : details;
}

function fillForm() {
  $('words').value = query.words;
  $('query').elements.target.value = query.target;
  $('filter').value = query.filter;
  $('least').value = query.least;
  showLevel();
  labelLeast();
  if (query.details !== null || query.filter || query.least || query.target === 'text') $('options').open = true;
  showChips(query.parts, submit);
}

/** The slider's value for a weight of the details. */
const levelOf = (details) => (Math.round((details ?? ownDetails) * 20) / 20).toString();

function showLevel() {
  $('level').value = levelOf(query.details);
  labelLevel();
}

function labelLevel() {
  const isOwn = $('level').value === levelOf(null);
  const words = isOwn ? 'as trained' : `${percent(Number($('level').value))} details`;
  $('level-text').textContent = words;
  $('level').setAttribute('aria-valuetext', words);
}

function labelLeast() {
  const least = Number($('least').value);
  const known = isEmpty(query) || hasRelevance(query);
  $('least').disabled = !known;
  const needs = query.details !== null ? 'needs the level as trained' : query.target === 'image' ? 'needs one sentence' : 'needs one image';
  const chosen = least ? `${percent(least)} relevant` : 'any relevance';
  $('least-text').textContent = known ? chosen : needs;
}

function submit() {
  readForm();
  search();
}

function search() {
  const next = toAddress(query);
  // The same query again is asked again: the index may have changed.
  if (next.toString() !== address().toString()) return go(next);
  asked = null;
  showSearch(next);
}

function addWords(sign) {
  const words = $('words').value.trim();
  if (words) {
    $('words').value = '';
    addPart('text', words, sign);
  }
  $('words').focus();
}

function inTheBox(event) {
  const last = query.parts.at(-1);
  if (event.key === 'ArrowDown') {
    event.preventDefault();
    focusFirst();
  } else if (event.key === 'Backspace' && !$('words').value && last && !event.repeat) {
    event.preventDefault();
    readForm();
    query.parts.pop();
    if (last.kind === 'text') query.words = last.value;
    search();
  }
}

function anywhere(event) {
  const typing = event.target.closest?.('input, textarea, select, dialog[open]');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  if ($('search').hidden) go(new URLSearchParams());
  $('words').focus();
  $('words').select();
}

async function addImages(files) {
  if (!files.length) return;
  const kept = await Promise.allSettled(files.map(keep));
  const names = kept.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  if (!names.length) { $('status').textContent = 'The image cannot be read.'; return; }
  readForm();
  query.parts.push(...names.map((value) => ({ kind: 'upload', value, weight: 1 })));
  search();
}

function startDropping() {
  const over = (event) => {
    if (![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    $('drop').hidden = false;
  };
  addEventListener('dragenter', over);
  addEventListener('dragover', over);
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) $('drop').hidden = true; });
  addEventListener('drop', (event) => {
    event.preventDefault();
    $('drop').hidden = true;
    const files = imagesOf(event.dataTransfer);
    if (files.length) addImages(files);
    else $('status').textContent = 'What was dropped is not an image.';
  });
}

async function ask() {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  clear();
  if (isEmpty(query)) return welcome();
  const body = toRequest(query, hitsPerScreen());
  if (!body.query.length) {
    $('empty').replaceChildren(element('p', {}, 'The image of this query is not on this computer. Drop it here to search with it.'));
    return;
  }
  $('status').textContent = 'Searching …';
  try {
    const found = await post('/v1/search', body, { signal });
    await show(found, signal);
    showImagined(query, signal);
  } catch (error) {
    if (error.name === 'AbortError') return;
    $('status').textContent = '';
    $('empty').replaceChildren(problem(error));
  }
}

function clear() {
  for (const id of ['notes', 'empty', 'hits', 'imagined']) $(id).replaceChildren();
  $('status').textContent = '';
  for (const id of ['more', 'save', 'imagined']) $(id).hidden = true;
  showHits([], query);
}

function welcome() {
  $('empty').replaceChildren(element('div', { class: 'welcome' },
    element('p', {}, 'Type what an image shows, or drop, paste or choose an image.'),
    element('p', { class: 'muted' }, element('kbd', {}, '/'), ' to the box, ', element('kbd', {}, 'Enter'), ' searches, ',
      element('kbd', {}, '↓'), ' to the hits, arrows walk, ', element('kbd', {}, 'Enter'), ' opens, ', element('kbd', {}, 'Esc'), ' closes.')));
}

async function show(found, signal) {
  $('notes').replaceChildren(...found.notes.map((note) => element('li', {}, note)));
  if (!found.hits.length) return showNearest(signal);
  if (found.probably_none) $('empty').replaceChildren(nothingMatches('Probably nothing here matches. The nearest are:'));
  showHits(found.hits, query);
  offerMore(found.cursor);
  say(found);
}

function say({ took_ms: took }) {
  const many = counted(shown().length, 'hit');
  $('status').textContent = took ? `${many}${cursor ? ', more below' : ''} · ${took.total.toFixed(took.total < 10 ? 1 : 0)} ms` : many;
  $('save').hidden = false;
}

/** Nothing passed: says so, and shows what is nearest without the relevance that was asked for. */
async function showNearest(signal) {
  const least = hasRelevance(query) && query.least;
  const because = least ? ` with a relevance of at least ${percent(least)}` : '';
  const filtered = query.filter.trim() ? ' and passes the filter' : '';
  $('status').textContent = 'No hits.';
  const found = least ? await post('/v1/search', { ...toRequest(query, NEAREST), min_relevance: null }, { signal }) : null;
  const nearest = found?.hits.length ? ' The nearest are:' : '';
  $('empty').replaceChildren(nothingMatches(`Nothing here matches${because}${filtered}.${nearest}`));
  if (nearest) showHits(found.hits, query);
}

const nothingMatches = (text) => element('p', { class: 'none' }, text);

function offerMore(next) {
  cursor = next;
  $('more').hidden = !next;
}

async function loadMore() {
  $('more').disabled = true;
  try {
    const found = await post('/v1/search', toRequest(query, hitsPerScreen(), cursor), { signal: running.signal });
    appendHits(found.hits);
    offerMore(found.cursor);
    say(found);
  } catch (error) {
    if (error.name !== 'AbortError') $('notes').replaceChildren(element('li', {}, problem(error)));
  } finally {
    $('more').disabled = false;
  }
}
