"""Those who propose experiments, all by one protocol: `propose(history, budget, count, seed)`."""
