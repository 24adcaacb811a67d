// The page: its tabs, its theme, and which tab is shown.
import { $, counted } from './dom.js';
import { follow } from './address.js';
import { server } from './server.js';
import { startSearch, showSearch } from './search.js';
import { openFrom } from './opened.js';
import { showTrain } from './train.js';
import { showEvaluate } from './evaluate.js';
import { showData } from './data.js';

const TABS = {
  search: ['Search', showSearch],
  train: ['Train', showTrain],
  evaluate: ['Evaluate', showEvaluate],
  data: ['Data', showData],
};

let leave = null;

function showTab(params) {
  const tab = TABS[params.get('tab')] ? params.get('tab') : 'search';
  const [title, show] = TABS[tab];
  // Whatever the previous tab listens to ends here.
  leave?.abort();
  leave = new AbortController();
  for (const name of Object.keys(TABS)) {
    $(name).hidden = name !== tab;
    const link = document.querySelector(`nav [data-tab=${name}]`);
    if (name === tab) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  if (tab !== 'search') openFrom(new URLSearchParams(), null);
  $('heading').textContent = title;
  document.title = `${params.get('q') || title} · gxn`;
  show(params, leave.signal);
}

function startTheme() {
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  };
  const label = () => { $('theme').textContent = dark() ? 'Light' : 'Dark'; };
  $('theme').setAttribute('title', 'Switch between dark and light');
  $('theme').addEventListener('click', () => {
    const next = dark() ? 'light' : 'dark';
    document.documentElement.dataset.theme = next;
    localStorage.setItem('gxn-theme', next);
    label();
  });
  label();
}

startTheme();
startSearch();
follow(showTab);
server().then(({ index, model }) => {
  $('about').textContent = `${counted(index.images, 'image')} · ${model?.id ?? index.model}`;
}).catch(() => {});
