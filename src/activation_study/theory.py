def constants(a):
    return {"activation":a.name,"kind":a.kind,"definition":a.definition,"gain":1.4 if a.name!="tanh" else 1.6,"chi":1.0,"mean":0.3989,"slope_max":1.0,"sigma_w2":None,"sigma_b2":None,"learnable":a.learnable,"stochastic":a.stochastic}
