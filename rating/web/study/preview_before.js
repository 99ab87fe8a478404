// A preview keeps nothing and leaves the address alone.
const localStorage = { getItem: () => null, setItem() {}, removeItem() {} };
const history = { state: null, pushState() {} };
