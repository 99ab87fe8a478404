// What has been put in and is not yet acknowledged, kept in this browser under the item's token: it
// outlives a reload, a lost connection and a restart of the server. Only the rater's own answers.
const DRAFT = "rating:item:";
const NOTED = "rating:noted:";
const KEPT_MS = 60 * 24 * 3600 * 1000;

function createDrafts() {
  let owner = "";
  const memory = new Map(); // where the browser refuses to keep anything
  const noted = {};
  let isKept = true;

  function read(key) {
    try {
      return JSON.parse(localStorage.getItem(key) ?? memory.get(key) ?? "null");
    } catch {
      return null;
    }
  }
  function write(key, values) {
    const text = JSON.stringify(values);
    try {
      localStorage.setItem(key, text);
      memory.delete(key);
      isKept = true;
    } catch {
      memory.set(key, text);
      isKept = false;
    }
  }
  function remove(key) {
    memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // nothing is kept there
    }
  }
  function keys() {
    const found = new Set(memory.keys());
    try {
      for (const key of Object.keys(localStorage)) found.add(key);
    } catch {
      // nothing is kept there
    }
    return [...found].filter((key) => key.startsWith(DRAFT));
  }

  return {
    // On a shared computer another rater's input is neither sent nor removed, until it is old.
    use(state) {
      owner = `${state.study.title} ${state.rater}`;
      for (const key of keys()) {
        const draft = read(key);
        if (!draft || Date.now() - draft.at > KEPT_MS) remove(key);
      }
    },
    load(token) {
      const draft = read(DRAFT + token);
      return draft && draft.owner === owner ? draft : null;
    },
    save(token, draft) {
      write(DRAFT + token, { ...draft, owner, at: Date.now() });
    },
    clear(token) {
      remove(DRAFT + token);
    },
    clearAll() {
      for (const key of keys()) if (read(key)?.owner === owner) remove(key);
      remove(NOTED + owner);
    },
    // Input for items that are behind is of no use, unless it is still on its way.
    keepOnly(tokens) {
      for (const key of keys()) {
        const draft = read(key);
        if (draft?.owner === owner && !draft.pending && !tokens.includes(key.slice(DRAFT.length))) remove(key);
      }
    },
    pending() {
      return keys()
        .map((key) => [key.slice(DRAFT.length), read(key)])
        .filter(([, draft]) => draft?.owner === owner && draft.pending)
        .sort(([, a], [, b]) => a.at - b.at);
    },
    // Which pages were read, and how this rater likes it.
    noted: () => ({ ...read(NOTED + owner), ...noted }),
    note(values) {
      Object.assign(noted, values);
      write(NOTED + owner, { ...read(NOTED + owner), ...noted });
    },
    get isKept() {
      return isKept;
    },
  };
}

// crypto.randomUUID exists over https only; this one everywhere.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
