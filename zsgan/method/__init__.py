"""The method of Jeon et al. (ICCV 2023) as pure functions of features and parameters, equation by equation.

==== ==================================================== ====================================================
eq.  what it is                                           where
==== ==================================================== ====================================================
(1)  directional loss of StyleGAN-NADA, the baseline      :func:`zsgan.method.losses.directional_loss`
(2)  loss of stage 1, which finds the semantic variations :func:`zsgan.method.variations.variation_losses`
(3)  directional moment loss                              :func:`zsgan.method.losses.directional_moment_loss`
(4)  elastic weight consolidation, its Fisher information :func:`zsgan.method.ewc.ewc_penalty`
(5)  relation consistency loss                            :func:`zsgan.method.losses.relation_loss`
(6)  loss of stage 2, the weighted sum of (3) to (5)      :class:`zsgan.adaptation.objective.Objective`
==== ==================================================== ====================================================
"""
